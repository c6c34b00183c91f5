"""What each way to bring users to rest promises, and what is special about each."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mooring.model.clock import SystemClock
from mooring.model.errors import QuiesceError
from mooring.quiesce.commands import Commands
from mooring.quiesce.file_systems import FileSystems
from mooring.quiesce.guest_agent import GuestAgent
from mooring.quiesce.interface import Means
from tests.quiesce.agent import Agent
from tests.quiesce.file_system import FileSystem

CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Case:
    """A means, a way to make it anew as after a crash, and whether its users are at rest."""

    make: Callable[[], Means]
    at_rest: Callable[[], bool]


@pytest.fixture(
    params=["commands", "guest-agent", pytest.param("file-systems", marks=pytest.mark.full)]
)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "commands":
        flag = tmp_path / "at-rest"
        yield Case(lambda: Commands(f"touch {flag}", f"rm -f {flag}", {}, CLOCK), flag.exists)
    elif request.param == "guest-agent":
        agent: Agent = request.getfixturevalue("agent")
        yield Case(lambda: GuestAgent(str(agent.path), CLOCK), lambda: agent.frozen)
    else:
        fs: FileSystem = request.getfixturevalue("file_system")
        yield Case(lambda: FileSystems(fs.device, ["/"], CLOCK), lambda: not fs.writes())


# --- all of them


def test_at_rest_between_freeze_and_thaw(case: Case) -> None:
    means = case.make()
    assert not case.at_rest()
    assert means.since is None

    began = CLOCK.monotonic()
    means.freeze(5.0)
    assert case.at_rest()
    assert means.since is not None
    assert began <= means.since <= CLOCK.monotonic()

    assert means.thaw(5.0)
    assert not case.at_rest()


def test_again_after_it(case: Case) -> None:
    means = case.make()
    for _ in range(3):
        means.freeze(5.0)
        assert means.thaw(5.0)
    assert not case.at_rest()


def test_thaw_without_freeze_does_no_harm(case: Case) -> None:
    case.make().thaw(5.0)

    assert not case.at_rest()


def test_another_process_lets_go_after_a_crash(case: Case) -> None:
    killed = case.make()
    killed.freeze(5.0)
    killed.close()

    case.make().thaw(5.0)

    assert not case.at_rest()


# --- commands


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(QuiesceError, match=r"freeze command ended with 3: no database here"):
        Commands("echo no database here; exit 3", "true", {}, CLOCK).freeze(5.0)


def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = f"sleep 600 & echo $! > {pid}; echo waiting; wait"

    with pytest.raises(QuiesceError, match=r"has not ended after 0.5 seconds: waiting"):
        Commands(command, "true", {}, CLOCK).freeze(0.5)

    status = Path(f"/proc/{pid.read_text().strip()}/status")
    deadline = time.monotonic() + 10
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline


def test_commands_know_the_instance_and_may_leave_something_running(tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {"MOORING_INSTANCE": "web", "MOORING_DISKS": "a b"}
    freeze = f'echo "$MOORING_INSTANCE:$MOORING_DISKS" > {out}; sleep 600 & echo $! > {out}.pid'
    commands = Commands(freeze, f"kill $(cat {out}.pid)", environment, CLOCK)

    commands.freeze(5.0)

    assert out.read_text() == "web:a b\n"
    assert commands.thaw(5.0)


# --- the guest agent


def test_an_agent_that_is_absent(run_dir: Path) -> None:
    agent = GuestAgent(str(run_dir / "nobody.sock"), CLOCK)

    with pytest.raises(QuiesceError, match="is not there"):
        agent.freeze(1.0)
    assert not agent.thaw(1.0)


def test_an_agent_that_hangs(agent: Agent) -> None:
    agent.hanging.add("guest-sync-delimited")
    means = GuestAgent(str(agent.path), CLOCK)

    with pytest.raises(QuiesceError, match="does not answer"):
        means.freeze(0.2)
    with pytest.raises(QuiesceError, match="does not answer"):
        means.thaw(0.2)
    agent.go_on.set()

    means.thaw(5.0)
    assert not agent.frozen
    assert "guest-fsfreeze-freeze" not in agent.asked


def test_an_agent_that_freezes_late_is_thawed_after_it(agent: Agent) -> None:
    agent.hanging.add("guest-fsfreeze-freeze")
    means = GuestAgent(str(agent.path), CLOCK)

    with pytest.raises(QuiesceError, match="does not answer"):
        means.freeze(0.2)
    late = threading.Timer(0.2, agent.go_on.set)
    late.start()
    means.thaw(5.0)
    late.join()

    assert "guest-fsfreeze-freeze" in agent.asked
    assert not agent.frozen


def test_an_agent_that_refuses(agent: Agent) -> None:
    agent.refusing.add("guest-fsfreeze-freeze")
    means = GuestAgent(str(agent.path), CLOCK)

    with pytest.raises(QuiesceError, match=r"refused guest-fsfreeze-freeze: .* is not for you"):
        means.freeze(1.0)
    assert not means.thaw(1.0)


def test_an_agent_without_file_systems(agent: Agent) -> None:
    agent.file_systems = 0

    means = GuestAgent(str(agent.path), CLOCK)

    with pytest.raises(QuiesceError, match="no file system that it can freeze"):
        means.freeze(1.0)
    means.close()


def test_a_guest_that_is_frozen_already_stays_so(agent: Agent) -> None:
    agent.frozen = True

    means = GuestAgent(str(agent.path), CLOCK)

    with pytest.raises(QuiesceError, match="already"):
        means.freeze(1.0)
    assert agent.frozen
    means.close()


def test_a_guest_thawed_by_somebody_else_was_not_at_rest(agent: Agent) -> None:
    means = GuestAgent(str(agent.path), CLOCK)
    means.freeze(1.0)
    agent.frozen = False

    assert not means.thaw(1.0)


class Stranger:
    """Says what it is told to say, over and over, whatever it is asked."""

    def __init__(self, path: Path, says: bytes, endless: bool) -> None:
        self._says = says
        self._endless = endless
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(self._says)
                    while client.recv(4096) or self._endless:
                        client.sendall(self._says)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


STRANGERS = {
    "nothing": (b"", False),
    "garbage": (b"\x00\x80garbage\n", False),
    "an endless line": (b"x" * 65536, True),
    "lines without end": (b"\n" * 65536, True),
    "delimiters without end": (b"\xff{}\n" * 9000, True),
    "a deep answer": (b"\xff" + b"[" * 100_000 + b"\n", False),
    "a long number": (b'\xff{"return":' + b"9" * 10_000 + b"}\n", False),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_an_agent_that_talks_nonsense(kind: str, run_dir: Path) -> None:
    path = run_dir / "agent.sock"
    stranger = Stranger(path, *STRANGERS[kind])
    means = GuestAgent(str(path), CLOCK)
    try:
        with pytest.raises(QuiesceError, match=r"does not answer|is lost"):
            means.freeze(0.3)
        with pytest.raises(QuiesceError, match=r"does not answer|is lost"):
            means.thaw(0.3)
    finally:
        means.close()
        stranger.close()


@pytest.mark.parametrize("state", [None, 1, "", "melting", ["thawed"], {"thawed": True}])
def test_an_agent_that_does_not_say_how_it_is(agent: Agent, state: object) -> None:
    means = GuestAgent(str(agent.path), CLOCK)
    means.freeze(1.0)
    agent.answers["guest-fsfreeze-status"] = {"return": state}

    with pytest.raises(QuiesceError, match="does not say whether"):
        means.thaw(1.0)
    means.close()


def test_what_an_agent_says_is_cut_and_shown(agent: Agent) -> None:
    why = "\x1b]0;owned\x07" + "long" * 10_000
    agent.answers["guest-fsfreeze-freeze"] = {"error": {"desc": why}}
    means = GuestAgent(str(agent.path), CLOCK)

    with pytest.raises(QuiesceError, match=r"\\x1b\]0;owned\\x07long") as caught:
        means.freeze(1.0)
    assert len(str(caught.value)) < 500
    means.close()


def test_a_thaw_that_is_refused_is_needed_again(agent: Agent) -> None:
    means = GuestAgent(str(agent.path), CLOCK)
    means.freeze(1.0)
    agent.refusing.add("guest-fsfreeze-thaw")

    with pytest.raises(QuiesceError, match="refused guest-fsfreeze-thaw"):
        means.thaw(1.0)
    assert agent.frozen
    agent.refusing.clear()

    assert means.thaw(1.0)
    assert not agent.frozen


# --- file systems of this host


@pytest.mark.full
def test_a_file_system_is_clean_while_it_is_at_rest(file_system: FileSystem) -> None:
    (file_system.mount / "file").write_bytes(b"not synchronised" * 4096)
    means = FileSystems(file_system.device, ["/"], CLOCK)

    means.freeze(5.0)
    try:
        done = subprocess.run(
            ["/sbin/e2fsck", "-fn", file_system.file], capture_output=True, check=False
        )
        header = subprocess.check_output(
            ["/sbin/dumpe2fs", "-h", file_system.file], stderr=subprocess.DEVNULL
        )
    finally:
        means.thaw(5.0)

    assert done.returncode == 0, done.stdout
    assert b"needs_recovery" not in header


@pytest.mark.full
def test_a_file_system_that_mooring_lives_on_is_never_frozen(file_system: FileSystem) -> None:
    means = FileSystems(file_system.device, [str(file_system.mount)], CLOCK)

    with pytest.raises(QuiesceError, match="which Mooring itself needs"):
        means.freeze(5.0)
    assert file_system.writes()
    means.thaw(5.0)


@pytest.mark.full
def test_a_file_system_that_somebody_else_has_frozen_stays_so(file_system: FileSystem) -> None:
    subprocess.run(["fsfreeze", "-f", file_system.mount], check=True)
    means = FileSystems(file_system.device, ["/"], CLOCK)

    with pytest.raises(QuiesceError, match="already frozen"):
        means.freeze(5.0)
    assert not means.thaw(5.0)
    assert not file_system.writes()
    subprocess.run(["fsfreeze", "-u", file_system.mount], check=True)


@pytest.mark.full
def test_a_file_system_thawed_by_somebody_else_was_not_at_rest(file_system: FileSystem) -> None:
    means = FileSystems(file_system.device, ["/"], CLOCK)
    means.freeze(5.0)
    subprocess.run(["fsfreeze", "-u", file_system.mount], check=True)

    assert not means.thaw(5.0)


@pytest.mark.full
def test_a_device_that_is_not_mounted(file_system: FileSystem) -> None:
    file_system.unmount()

    with pytest.raises(QuiesceError, match="no file system"):
        FileSystems(file_system.device, ["/"], CLOCK).freeze(5.0)


@pytest.mark.full
def test_file_systems_in_a_container_and_on_partitions_are_found(file_system: FileSystem) -> None:
    partition = file_system.partition()
    subprocess.run(["/sbin/mkfs.ext4", "-q", partition], check=True)
    script = f"mount {partition} {file_system.mount} && echo ready && exec sleep 600"
    container = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdout=subprocess.PIPE,
    )
    try:
        assert container.stdout is not None
        assert container.stdout.readline() == b"ready\n"
        inside = Path(f"/proc/{container.pid}/root{file_system.mount}/file")
        means = FileSystems(file_system.device, ["/"], CLOCK)
        means.freeze(5.0)
        writer = threading.Thread(target=inside.write_bytes, args=(b"x",))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert means.thaw(5.0)
        writer.join()
    finally:
        container.kill()
        container.communicate()
