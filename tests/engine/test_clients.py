"""Who uses a disk: told, and kept to one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mooring.engine.interface import Client, Export
from mooring.engine.qemu.daemon.process import LOG_FILE
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.users.negotiations import Trace
from mooring.engine.qemu.users.sockets import Link, Peer, Sockets
from mooring.engine.qemu.users.users import Users
from mooring.model.clock import SystemClock
from tests.engine.harness import MIB, Harness, QemuHarness, attached, new_id

pytestmark = [pytest.mark.full]

OTHER = """
import sys
from mooring.nbd.blocking import BlockingNbdClient
clients = [BlockingNbdClient(uri) for uri in sys.argv[1:]]
print("connected", flush=True)
for line in sys.stdin:
    try:
        for client in clients:
            client.write(0, line.strip()[:1].encode() * 4096)
            client.flush()
        print("written", flush=True)
    except Exception as error:
        print("cut off", type(error).__name__, flush=True)
"""


class Other:
    """Another process with connections of its own."""

    def __init__(self, *uris: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, *uris],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.answer = self.process.stdout.readline().strip()

    def write(self, letter: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(letter, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return "cut off"
        return self.process.stdout.readline().strip() or "cut off"

    def close(self) -> None:
        self.process.communicate()


@contextmanager
def other(*uris: str) -> Iterator[Other]:
    process = Other(*uris)
    try:
        yield process
    finally:
        process.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connected(qemu: QemuHarness, disk_id: str) -> list[tuple[int, int]]:
    return [(one.pid, one.connections) for one in qemu.qemu.clients(disk_id).connected]


def test_clients_of_a_disk_are_told(harness: Harness) -> None:
    instance_id, export = attached(harness, MIB)
    assert not harness.engine.clients(export.disk_id).connected
    client = harness.client(instance_id, export)
    until(lambda: len(harness.engine.clients(export.disk_id).connected) == 1)
    client.close()
    until(lambda: not harness.engine.clients(export.disk_id).connected)
    assert not harness.engine.clients(new_id()).connected


def test_second_process_is_cut_off_and_told(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB)
    uri = qemu.qemu.uri(instance_id, export.name)
    with other(uri) as first, other(uri) as second:
        assert first.write("a") == "written"
        until(lambda: "was cut off" in qemu.qemu.clients(export.disk_id).refused)
        assert second.write("b").startswith("cut off")
        assert first.write("c") == "written"
        clients = qemu.qemu.clients(export.disk_id)
        assert connected(qemu, export.disk_id) == [(first.process.pid, 1)]
        assert f"(process {second.process.pid})" in clients.refused
        assert f"(process {first.process.pid})" in clients.refused
        assert "python" in str(clients)


def test_many_connections_of_one_process_are_one_client(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB)
    uri = qemu.qemu.uri(instance_id, export.name)
    with other(uri, uri, uri, uri) as one:
        until(lambda: connected(qemu, export.disk_id) == [(one.process.pid, 4)])
        assert one.write("a") == "written"


def test_processes_on_different_disks_of_an_instance_get_along(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB, "disk-1")
    more = Export(new_id(), "disk-2")
    qemu.qemu.create(more.disk_id, MIB)
    qemu.qemu.attach(instance_id, more)
    uris = [qemu.qemu.uri(instance_id, name) for name in ("disk-1", "disk-2")]
    with other(uris[0]) as first, other(uris[1]) as second:
        until(lambda: connected(qemu, export.disk_id) == [(first.process.pid, 1)])
        until(lambda: connected(qemu, more.disk_id) == [(second.process.pid, 1)])
        assert (first.write("a"), second.write("b")) == ("written", "written")
        with other(uris[1], uris[0]) as third:
            until(lambda: qemu.qemu.clients(more.disk_id).refused != "")
            assert third.write("c").startswith("cut off")
        assert (first.write("a"), second.write("b")) == ("written", "written")


def test_disk_may_be_shared(run_dir: Path, tmp_path: Path) -> None:
    shared: set[str] = set()
    qemu = QemuHarness(tmp_path / "data", run_dir / "run")
    qemu.qemu.close()
    qemu.engine = qemu.qemu = QemuEngine(
        qemu.root, qemu.run_dir, SystemClock(), DaemonSettings(), shared.__contains__
    )
    try:
        instance_id, export = attached(qemu, MIB)
        shared.add(export.disk_id)
        uri = qemu.qemu.uri(instance_id, export.name)
        with other(uri) as first, other(uri) as second:
            until(lambda: len(connected(qemu, export.disk_id)) == 2)
            assert (first.write("a"), second.write("b")) == ("written", "written")
    finally:
        qemu.close()


def test_who_was_cut_off_is_kept_off_until_one_of_them_is_gone(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB)
    uri = qemu.qemu.uri(instance_id, export.name)
    with other(uri) as first:
        assert first.write("a") == "written"
        with other(uri):
            until(lambda: qemu.qemu.clients(export.disk_id).refused != "")
            until(lambda: other_answer(uri) == "")  # as a client that comes again and again
            assert first.write("b") == "written"
        until(lambda: other_answer(uri) == "connected")
        assert first.write("c") == "written"
        # While whoever asked last is seen to be gone, nobody is let in.
        with let_in(uri):
            until(lambda: other_answer(uri) == "")
            first.process.kill()
            first.process.wait()
            until(lambda: other_answer(uri) == "connected")


@contextmanager
def let_in(uri: str) -> Iterator[None]:
    with ExitStack() as closing:

        def connects() -> bool:
            closing.pop_all().close()
            return closing.enter_context(other(uri)).answer == "connected"

        until(connects)
        yield


def other_answer(uri: str) -> str:
    with other(uri) as another:
        return another.answer


def test_next_process_may_come_when_the_first_is_gone(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB)
    uri = qemu.qemu.uri(instance_id, export.name)
    with other(uri) as first:
        assert first.write("a") == "written"
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    with other(uri) as second:
        assert second.write("b") == "written"
        until(lambda: connected(qemu, export.disk_id) == [(second.process.pid, 1)])
    assert qemu.qemu.clients(export.disk_id).refused == ""


def test_restarted_server_knows_who_was_there(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB, "disk-1")
    more = Export(new_id(), "disk-2")
    qemu.qemu.create(more.disk_id, MIB)
    qemu.qemu.attach(instance_id, more)
    uris = [qemu.qemu.uri(instance_id, name) for name in ("disk-1", "disk-2")]
    with other(*uris) as machine:
        until(lambda: connected(qemu, more.disk_id) == [(machine.process.pid, 1)])
        qemu.qemu.close()
        with other(uris[1]) as unseen:
            qemu.engine = qemu.qemu = qemu.open()
            qemu.qemu.adopt({instance_id: [export, more]})
            until(lambda: qemu.qemu.clients(more.disk_id).refused != "")
            assert unseen.write("u").startswith("cut off")
        assert machine.write("m") == "written"
        assert connected(qemu, export.disk_id) == [(machine.process.pid, 1)]
        assert connected(qemu, more.disk_id) == [(machine.process.pid, 1)]


def test_process_is_refused_after_the_daemon_was_killed_too(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, MIB)
    qemu.kill_daemon(instance_id)
    uri = qemu.qemu.uri(instance_id, export.name)
    until(lambda: qemu.qemu.health(export.disk_id).ok)
    with other(uri) as first:
        assert first.write("a") == "written"
        with other(uri) as second:
            until(lambda: qemu.qemu.clients(export.disk_id).refused != "")
            assert second.write("b").startswith("cut off")


def test_command_is_none_for_a_process_that_ended() -> None:
    assert str(Client(0, None)) == "a process that is not visible from here"
    assert str(Client(7, None)).endswith("(process 7)")


def traced(folder: Path, lines: list[str]) -> Path:
    """A daemon's log with these lines, each shortened to a letter and a name."""
    words = {
        "b": "nbd_negotiate_begin Beginning negotiation",
        "r": "nbd_negotiate_handle_export_name_request Client requested export '{}'",
        "s": "nbd_negotiate_success Negotiation succeeded",
    }
    log = folder / LOG_FILE
    log.write_text("".join(words[x[0]].format(x[2:]) + "\n" for x in lines))
    return log


@pytest.mark.parametrize(
    ("lines", "peers", "names"),
    [
        (["b", "r one", "s"], "A", ["one"]),
        (["b", "r one"], "A", None),
        (["b", "r one", "r one", "s"], "A", ["one"]),
        (["b", "b", "r one", "s", "r one", "s"], "AB", ["one", "one"]),
        (["b", "r one", "s", "b", "r two", "s"], "AA", ["one", "two"]),
        (["b", "r one", "s", "b", "r two", "s"], "AB", [None, None]),
        (["b", "r two", "s", "b"], "A", None),
        (["b", "r two", "s", "b", "r one", "s"], "A", [None]),
        (["b", "r one", "s", "b", "r one", "s"], "A", ["one"]),
    ],
)
def test_nothing_is_concluded_from_lines_that_may_be_somebody_elses(
    tmp_path: Path, lines: list[str], peers: str, names: list[str | None] | None
) -> None:
    log = traced(tmp_path, lines)
    links = [Link(n, n, Peer(ord(peer), 0, 0)) for n, peer in enumerate(peers)]
    trace = Trace(log)
    trace.read()
    found = trace.name(links)
    assert names == (None if found is None else [found.get(link.inode) for link in links])


class Listed(Sockets):
    """Connections that a test says are there."""

    def __init__(self, *inodes: int) -> None:
        self.inodes = list(inodes)

    def links(self) -> dict[int, Link]:
        return {inode: Link(inode, inode, Peer(7, 0, 0)) for inode in self.inodes}


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["b", "r one", "s", "b", "r two", "s"], "two"),
        (["b", "b", "r one", "s", "r two", "s"], None),
        (["b", "b", "r one", "s", "r one", "s"], "one"),
    ],
)
def test_connections_made_at_once_are_not_told_apart_when_one_is_gone(
    tmp_path: Path, lines: list[str], left: str | None
) -> None:
    traced(tmp_path, lines)
    there = Listed(1, 2)
    first, _ = Users(tmp_path, there).look()
    assert sorted(str(use.name) for use in first) == sorted(x[2:] for x in lines if x[0] == "r")

    there.inodes = [2]
    # The next server knows it, too.
    for users in (Users(tmp_path, there), Users(tmp_path, there)):
        uses, known = users.look()
        assert [use.name for use in uses] == [left]
        assert known
