"""Holds in which something is killed, hangs, or takes too long: all are thawed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mooring.model.clock import SystemClock
from mooring.model.errors import QuiesceError
from mooring.quiesce.interface import COMMANDS, FILE_SYSTEMS, GUEST_AGENT, Users
from mooring.quiesce.process import CommandPair, Limits, ProcessQuiescer
from tests.e2e.processes import until
from tests.quiesce.agent import Agent
from tests.quiesce.file_system import FileSystem

KILLED_SERVER = """
import json, os, signal, sys
from pathlib import Path
from mooring.model.clock import SystemClock
from mooring.quiesce.interface import Users
from mooring.quiesce.process import Limits, ProcessQuiescer
folder, device, socket = sys.argv[1:]
limits = Limits(5.0, 60.0, ["/"])
quiescer = ProcessQuiescer(Path(folder), SystemClock(), limits, {}, [Path("/")])
hold = quiescer.hold(Users("i-1", "web", [], {"d": device} if device else {}, socket or None))
print(json.dumps(dict(hold.problems)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pair(tmp_path: Path, pairs: dict[str, CommandPair]) -> Path:
    """A file that is there while `web` is at rest."""
    flag = tmp_path / "flag"
    pairs["web"] = CommandPair(f"touch {flag}", f"rm -f {flag}")
    return flag


def holders(folder: Path) -> list[int]:
    """The processes that have a hold's file open."""
    found = []
    for links in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(link.readlink()).startswith(str(folder)) for link in links.iterdir()):
                found.append(int(links.parent.name))
        except OSError:
            continue
    return found


def killed_server(folder: Path, device: str = "", socket: str = "") -> None:
    """A server that brings users to rest, and is killed then."""
    server = subprocess.Popen(
        [sys.executable, "-c", KILLED_SERVER, str(folder), device, socket],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline()) == {}
    finally:
        server.kill()
        server.communicate()


@pytest.mark.full
def test_the_server_is_killed_while_a_file_system_is_at_rest(
    file_system: FileSystem, tmp_path: Path
) -> None:
    killed_server(tmp_path / "holds", device=file_system.device)

    # Its limit is a minute; but its pipe is closed.
    assert file_system.writes(30.0)


@pytest.mark.full
def test_the_server_is_killed_while_a_guest_is_at_rest(agent: Agent, tmp_path: Path) -> None:
    killed_server(tmp_path / "holds", socket=str(agent.path))

    until(lambda: not agent.frozen, "the guest to be thawed")


@pytest.mark.full
def test_the_limit_passes(file_system: FileSystem, quiescer: ProcessQuiescer, agent: Agent) -> None:
    users = Users("i-1", "web", [], {"d": file_system.device}, str(agent.path))
    hold = quiescer.hold(users)
    assert agent.frozen

    assert file_system.writes(30.0)  # two seconds are the limit
    until(lambda: not agent.frozen, "the guest to be thawed")
    rest = hold.thaw()

    assert not rest.held
    assert set(rest.problems) == {GUEST_AGENT, FILE_SYSTEMS + file_system.device}
    assert "thawed after 2 seconds" in rest.problems[GUEST_AGENT]


@pytest.mark.full
def test_the_holder_is_killed(
    file_system: FileSystem, quiescer: ProcessQuiescer, tmp_path: Path
) -> None:
    hold = quiescer.hold(Users("i-1", "web", [], {"d": file_system.device}))
    (pid,) = holders(tmp_path / "holds")
    os.kill(pid, signal.SIGKILL)

    rest = hold.thaw()

    assert not rest.held
    assert "killed" in rest.problems[""]
    assert file_system.writes(30.0)
    assert quiescer.left() == []


@pytest.mark.full
def test_a_holder_that_cannot_work_says_why(
    quiescer: ProcessQuiescer,
    pairs: dict[str, CommandPair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs["web"] = CommandPair("true", "true")
    (tmp_path / "json.py").write_text('raise OSError("the tide is out")')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with (
        capture_logs() as logs,
        pytest.raises(QuiesceError, match="ended with exit code 1: OSError: the tide is out"),
    ):
        quiescer.hold(Users("i-1", "web"))

    assert "Traceback" in logs[0]["said"]


def test_holder_and_server_are_killed_and_the_next_server_lets_go(
    file_system: FileSystem, quiescer: ProcessQuiescer, tmp_path: Path
) -> None:
    hold = quiescer.hold(Users("i-1", "web", [], {"d": file_system.device}))
    (pid,) = holders(tmp_path / "holds")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not holders(tmp_path / "holds"), "the holder to end")
    hold.abandon()
    assert not file_system.writes()

    limits = Limits(1.0, 2.0)
    restarted = ProcessQuiescer(tmp_path / "holds", SystemClock(), limits, {}, [])
    assert list(restarted.left()) == ["i-1"]
    assert restarted.mend() == {}

    assert file_system.writes(30.0)
    assert list(restarted.left()) == []
    restarted.close()


def test_the_next_hold_lets_go_first_whom_a_killed_one_held(
    pair: Path, quiescer: ProcessQuiescer, tmp_path: Path, agent: Agent
) -> None:
    hold = quiescer.hold(Users("i-1", "other", [], {}, str(agent.path)))
    (pid,) = holders(tmp_path / "holds")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not holders(tmp_path / "holds"), "the holder to end")
    hold.abandon()
    assert agent.frozen

    rest = quiescer.hold(Users("i-1", "web")).thaw()

    assert rest.held == [COMMANDS]
    assert not agent.frozen


def test_an_agent_that_hangs_costs_the_time_limit_and_is_thawed_later(
    agent: Agent, quiescer: ProcessQuiescer, tmp_path: Path
) -> None:
    agent.hanging.add("guest-fsfreeze-freeze")
    users = Users("i-1", "web", [], {}, str(agent.path))

    began = time.monotonic()
    hold = quiescer.hold(users)
    assert "does not answer" in hold.problems[GUEST_AGENT]
    rest = hold.thaw()
    assert not rest.held
    assert time.monotonic() - began < 5.0  # one second is the limit

    second = quiescer.hold(users)
    assert "cannot be thawed" in second.problems[GUEST_AGENT]
    second.thaw()
    assert holders(tmp_path / "holds")  # it goes on trying
    agent.go_on.set()
    until(lambda: not holders(tmp_path / "holds"), "the guest to be thawed")
    assert not agent.frozen
    assert agent.asked.count("guest-fsfreeze-freeze") == 1


def test_a_thaw_command_that_fails_at_first_is_run_again(
    quiescer: ProcessQuiescer, pairs: dict[str, CommandPair], tmp_path: Path
) -> None:
    flag, good = tmp_path / "flag", tmp_path / "good"
    pairs["web"] = CommandPair(f"touch {flag}", f"test -e {good} && rm {flag}")

    rest = quiescer.hold(Users("i-1", "web")).thaw()

    assert "the thaw command ended with 1" in rest.problems[COMMANDS]
    assert flag.exists()
    good.touch()
    until(lambda: not flag.exists(), "the thaw command to be run again")


def test_two_holds_of_one_instance_take_turns(
    pairs: dict[str, CommandPair], quiescer: ProcessQuiescer, tmp_path: Path
) -> None:
    alone, log = tmp_path / "alone", tmp_path / "log"
    pairs["web"] = CommandPair(f"mkdir {alone} && echo f >> {log}", f"rmdir {alone}")
    results: list[list[str]] = []

    def snapshot() -> None:
        hold = quiescer.hold(Users("i-1", "web"))
        time.sleep(0.05)
        results.append(list(hold.thaw().held))

    threads = [threading.Thread(target=snapshot) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [[COMMANDS]] * 3
    assert log.read_text() == "f\n" * 3


def test_a_command_that_hangs(quiescer: ProcessQuiescer, pairs: dict[str, CommandPair]) -> None:
    pairs["web"] = CommandPair("sleep 600", "true")

    hold = quiescer.hold(Users("i-1", "web"))

    assert "has not ended" in hold.problems[COMMANDS]
    assert not hold.thaw().held
