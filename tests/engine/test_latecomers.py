"""Clients whose negotiation ends while QEMU holds requests back."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon import latecomers, process
from mooring.engine.qemu.daemon.latecomers import Latecomers
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.users.sockets import Sockets
from mooring.engine.qemu.users.users import Users
from mooring.host.processes.lasting_process import LastingProcess
from mooring.model.clock import ManualClock, SystemClock
from mooring.nbd import protocol as p
from mooring.nbd.uri import parse_uri
from tests.engine.harness import MIB, QemuHarness, attached, new_id, noise

pytestmark = [pytest.mark.full]

WAIT_SECONDS = 20.0


class SlowClient:
    """One that goes through the handshake, and through a request, only as far as it is told to."""

    def __init__(self, engine: QemuEngine, instance_id: str, export: Export) -> None:
        path = parse_uri(engine.uri(instance_id, export.name)).socket
        assert path is not None
        self._name = export.name.encode()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(WAIT_SECONDS)
        self._socket.connect(path)
        self._socket.sendall(
            p.CLIENT_FLAGS.pack(p.HandshakeFlag.FIXED_NEWSTYLE | p.HandshakeFlag.NO_ZEROES)
        )
        self._read(p.GREETING.size)

    def choose(self) -> None:
        """Ask for the export, without waiting for the answer."""
        option = p.OPTION.pack(p.OPTION_MAGIC, p.Option.EXPORT_NAME, len(self._name))
        self._socket.sendall(option + self._name)

    def chosen(self) -> None:
        self._read(p.EXPORT_NAME_REPLY.size)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def replied(self) -> None:
        self._read(p.SIMPLE_REPLY.size)

    def cut_off(self) -> bool:
        try:
            return not self._socket.recv(1)
        except ConnectionError:
            return True

    def close(self) -> None:
        self._socket.close()

    def _read(self, length: int) -> None:
        while length:
            received = self._socket.recv(length)
            assert received
            length -= len(received)


def write_request(offset: int, data: bytes) -> bytes:
    return p.REQUEST.pack(p.REQUEST_MAGIC, 0, p.Command.WRITE, 7, offset, len(data)) + data


def asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def frozen_in_background(qemu: QemuHarness, points: dict[str, str]) -> Iterator[None]:
    """A freeze that waits for the requests under way while the block runs."""
    with ThreadPoolExecutor(1) as pool:
        freeze = pool.submit(qemu.engine.freeze, points)
        yield
        freeze.result()


def test_a_client_that_comes_during_a_freeze_does_not_stop_it(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU 10.0 waited for ever for one whose negotiation ended while requests were held back."""
    monkeypatch.setattr(latecomers, "_SETTLE_SECONDS", 0.0)
    instance_id, export = attached(qemu, 16 * MIB)
    writer = SlowClient(qemu.qemu, instance_id, export)
    writer.choose()
    writer.chosen()
    until(lambda: bool(qemu.engine.clients(export.disk_id)))
    late = SlowClient(qemu.qemu, instance_id, export)
    request = write_request(0, noise(1, MIB))
    points = {export.disk_id: new_id()}
    try:
        # A request of which half is there keeps the freeze waiting.
        writer.send(request[: len(request) // 2])
        with frozen_in_background(qemu, points):
            overlays = qemu.folder(export.disk_id)
            until(lambda: len(list(overlays.glob("*.qcow2"))) > 1)
            pid = qemu.daemon_pid(instance_id)
            until(lambda: asleep(pid))
            time.sleep(0.1)  # it cannot be seen that the transaction has begun
            late.choose()
            time.sleep(0.1)
            writer.send(request[len(request) // 2 :])
        writer.replied()
        # It had been there before.
        writer.send(request)
        writer.replied()
    finally:
        writer.close()
        late.close()
    # Whoever comes again is served.
    client = qemu.client(instance_id, export)
    assert client.read(0, MIB) == noise(1, MIB)
    assert qemu.engine.health(export.disk_id).ok


class Asked:
    """Knows of no connections, and notes since when they were asked for."""

    def __init__(self, asked: list[int], negotiating: int = 0, rush: bool = False) -> None:
        self._asked = asked
        self._rush = rush
        self._negotiating = negotiating

    def negotiating(self, folder: Path) -> bool:
        self._negotiating -= 1
        return self._negotiating >= 0

    def in_a_rush(self, folder: Path) -> bool:
        return self._rush

    def latecomers(self, folder: Path, since: int) -> None:
        self._asked.append(since)


@pytest.fixture
def spinning() -> Iterator[LastingProcess]:
    """A process that never waits, in the place of a daemon."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "while :; do :; done"], os.environ)
    with LastingProcess(pid, os.pidfd_open(pid)) as spinning:
        yield spinning
        spinning.kill()


def test_only_who_came_since_the_last_answer_is_cut(
    spinning: LastingProcess, tmp_path: Path
) -> None:
    asked: list[int] = []
    (tmp_path / process.LOG_FILE).write_bytes(b"x" * 100)
    watched = Latecomers(tmp_path, SystemClock(), Asked(asked))
    with watched.kept_out("query-jobs"):
        pass
    (tmp_path / process.LOG_FILE).write_bytes(b"x" * 150)

    with watched.kept_out("transaction"):
        watched.relieve(spinning)
        watched.relieve(spinning)

    # First those that have come since it was asked; if there are none, since it last answered.
    assert asked == [150, 100]
    assert spinning.alive()


def test_a_daemon_that_waits_is_left_alone(spinning: LastingProcess, tmp_path: Path) -> None:
    asked: list[int] = []
    watched = Latecomers(tmp_path, SystemClock(), Asked(asked))
    os.kill(spinning.pid, signal.SIGSTOP)
    until(lambda: not spinning.spins(SystemClock()))

    for _ in range(5):
        watched.relieve(spinning)

    assert not asked
    assert spinning.alive()


def test_a_daemon_whose_clients_cannot_be_cut_is_ended(
    spinning: LastingProcess, tmp_path: Path
) -> None:
    clock = ManualClock()
    watched = Latecomers(tmp_path, clock, Asked([]))

    while spinning.alive():
        assert clock.monotonic() < 30
        watched.relieve(spinning)
        clock.advance(0.3)

    assert clock.monotonic() > 10


@pytest.mark.parametrize(
    ("command", "negotiations", "rush", "waited"),
    [
        ("transaction", 3, False, 0.003),
        ("transaction", 10_000, False, 1.0),
        ("transaction", 3, True, 0.103),
        ("transaction", 10_000, True, 1.0),
        ("block-export-add", 3, True, 0.003),
        ("query-jobs", 3, True, 0.0),
    ],
)
def test_negotiations_are_waited_for(
    command: str, negotiations: int, rush: bool, waited: float, tmp_path: Path
) -> None:
    clock = ManualClock()

    with Latecomers(tmp_path, clock, Asked([], negotiations, rush)).kept_out(command):
        pass

    assert clock.monotonic() == pytest.approx(waited, abs=0.002)


def test_who_negotiates_is_seen(qemu: QemuHarness) -> None:
    instance_id, export = attached(qemu, 16 * MIB)
    folder = qemu.run_dir / instance_id
    daemon = process.find(folder)
    assert daemon is not None
    with daemon:
        users = Users(folder, Sockets(daemon.pid, daemon.pidfd, process.bound_at(folder)))
        client = SlowClient(qemu.qemu, instance_id, export)
        try:
            until(lambda: not users.settled())
            client.choose()
            client.chosen()
            until(users.settled)
            assert len(users.latecomers(0)) == 1
            assert users.latecomers((folder / process.LOG_FILE).stat().st_size) == []
        finally:
            client.close()


def test_a_guard_that_is_closed_touches_nothing(qemu: QemuHarness) -> None:
    """The numbers of its descriptors are other files' then."""
    instance_id, _ = attached(qemu, MIB)
    guard = qemu.qemu._guard
    qemu.qemu.close()
    pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(20)]
    try:
        guard.wake()
        assert not guard.negotiating(qemu.run_dir / instance_id)
        assert guard.latecomers(qemu.run_dir / instance_id, 0) is None
        for reading, _ in pipes:
            with pytest.raises(BlockingIOError):
                os.read(reading, 8)
    finally:
        for pipe in pipes:
            for end in pipe:
                os.close(end)
