"""A killed server: daemons, clients and points outlive it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE, Image
from mooring.nbd.blocking import BlockingNbdClient
from tests.engine.harness import MIB, QemuHarness, attached, content, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 16 * MIB
RING = 64


class RingWriter:
    """Writes ascending numbers around a ring of blocks, until told to stop."""

    def __init__(self, client: BlockingNbdClient) -> None:
        self.number = 0
        self.problem: BaseException | None = None
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                number = self.number + 1
                block = number.to_bytes(BLOCK_SIZE, "big")
                self._client.write(number % RING * BLOCK_SIZE, block)
                self.number = number
        except BaseException as problem:  # noqa: BLE001 - told to the test by `end`
            self.problem = problem

    def end(self) -> int:
        """Stop and return the last number written."""
        self._stop.set()
        self._thread.join()
        if self.problem is not None:
            raise self.problem
        return self.number


def check_cut(image: Image) -> int:
    """Raise unless the ring holds all numbers up to one and none after it; return that."""
    raw = image.read(0, RING * BLOCK_SIZE)
    numbers = [
        int.from_bytes(raw[place * BLOCK_SIZE : (place + 1) * BLOCK_SIZE], "big")
        for place in range(RING)
    ]
    last = max(numbers)
    for place, number in enumerate(numbers):
        assert number == max(0, last - (last - place) % RING), f"block {place} of {last}"
    return last


@pytest.mark.parametrize("speed", [0, 64 * 1024], ids=["fast merges", "slow merges"])
def test_server_killed_again_and_again(run_dir: Path, tmp_path: Path, speed: int) -> None:
    settings = DaemonSettings(merge_bytes_per_second=speed)
    harness = QemuHarness(tmp_path / "data", run_dir / "run", settings)
    try:
        instance, export = attached(harness, SIZE, "disk")
        pid = harness.daemon_pid(instance)
        writer = RingWriter(harness.client(instance, export))
        harness.qemu.close()
        try:
            told: list[str] = []
            for delay in (0.0, 0.05, 0.3, 0.9, 1.7):
                told += run_victim(harness, instance, export.disk_id, speed, delay)
            harness.restart()
            harness.engine.adopt({instance: [export]})
            assert writer.problem is None
        finally:
            last = writer.end()
        check_after(harness, instance, export, told, last)
        assert harness.daemon_pid(instance) == pid
    finally:
        harness.close()


def run_victim(
    harness: QemuHarness, instance: str, disk: str, speed: int, delay: float
) -> list[str]:
    """Let a server work on the disk for `delay` seconds, kill it, return the points told."""
    command = [
        sys.executable, "-m", "tests.engine.victim",
        str(harness.root), str(harness.run_dir), instance, disk, str(speed),
    ]  # fmt: skip
    victim = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    try:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "adopted\n"
        time.sleep(delay)
    finally:
        victim.kill()
        output, _ = victim.communicate()
    return output.split()


def check_after(
    harness: QemuHarness, instance: str, export: Export, told: list[str], last: int
) -> None:
    disk = export.disk_id
    # Merges that the killed servers have begun for points released then: a disk may have so many
    # layers that it gets no further one before.
    assert harness.engine.settle(120)
    point = new_id()
    harness.engine.freeze({disk: point})
    assert harness.engine.settle(60)
    # All others were released: a merge that was killed may have written over what is below them.
    image = harness.engine.open_point(disk, point)
    assert check_cut(image) == last
    image.close()
    assert told
    for known in harness.engine.points(disk):
        harness.engine.release(disk, known, stored=True)
    assert harness.engine.settle(60)
    assert harness.engine.points(disk) == [point]
    assert len(harness.layer_names(disk)) == 2
    health = harness.engine.health(disk)
    assert health.ok, health.problem


def test_overlay_made_but_never_used_is_taken_away(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    first, unused, second = new_id(), new_id(), new_id()
    qemu.engine.freeze({disk: first})
    client.write(0, noise(1, MIB))
    # As a server leaves it that was killed before the transaction.
    qemu.qemu._registry.disk(disk).layers.add_overlay(unused)

    qemu.restart()
    qemu.engine.adopt({instance: [export]})

    assert qemu.engine.points(disk) == [first]
    client.write(MIB, noise(2, MIB))
    qemu.engine.freeze({disk: second})
    image = qemu.engine.open_point(disk, second)
    assert content(image)[: 2 * MIB] == noise(1, MIB) + noise(2, MIB)
    image.close()


def test_overlay_never_used_is_harmless_when_the_daemon_died_too(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    client.write(0, noise(1, MIB))
    client.flush()
    unused, point = new_id(), new_id()
    qemu.qemu._registry.disk(disk).layers.add_overlay(unused)
    qemu.qemu.close()
    qemu.kill_daemon(instance)

    qemu.engine = qemu.qemu = qemu.open()
    qemu.engine.adopt({instance: [export]})

    client = qemu.client(instance, export)
    assert client.read(0, 2 * MIB) == noise(1, MIB) + bytes(MIB)
    client.write(MIB, noise(2, MIB))
    qemu.engine.freeze({disk: point})
    qemu.engine.release(disk, unused, stored=False)
    qemu.engine.release(disk, point, stored=True)
    assert qemu.engine.settle()
    assert qemu.engine.points(disk) == [point]
    assert client.read(0, 2 * MIB) == noise(1, MIB) + noise(2, MIB)


def test_renamed_or_moved_export_is_served_anew(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    qemu.client(instance, export).write(0, noise(1, MIB))
    renamed, elsewhere = Export(disk, "renamed"), new_id()

    qemu.restart()
    qemu.engine.adopt({instance: [renamed]})
    assert qemu.client(instance, renamed).read(0, MIB) == noise(1, MIB)

    qemu.restart()
    qemu.engine.adopt({elsewhere: [renamed]})
    assert qemu.client(elsewhere, renamed).read(0, MIB) == noise(1, MIB)
    assert qemu.engine.health(disk).ok
    assert not (qemu.run_dir / instance).exists()


def test_hanging_daemon_is_adopted_with_its_problem(run_dir: Path, tmp_path: Path) -> None:
    settings = DaemonSettings(answer_seconds=1.0, start_seconds=1.0)
    harness = QemuHarness(tmp_path / "data", run_dir / "run", settings)
    try:
        instance, export = attached(harness, SIZE)
        other_instance, other = attached(harness, SIZE)
        client = harness.client(instance, export)
        client.write(0, noise(1, MIB))
        harness.qemu.close()
        pid = harness.daemon_pid(instance)
        os.kill(pid, signal.SIGSTOP)
        try:
            harness.engine = harness.qemu = harness.open()
            harness.engine.adopt({instance: [export], other_instance: [other]})
            assert harness.engine.health(other.disk_id).ok
            assert "answer" in harness.engine.health(export.disk_id).problem
            with pytest.raises(EngineError):
                harness.engine.freeze({export.disk_id: new_id()})
        finally:
            os.kill(pid, signal.SIGCONT)
        harness.engine.attach(instance, export)
        assert harness.engine.health(export.disk_id).ok
        point = new_id()
        harness.engine.freeze({export.disk_id: point})
        assert harness.daemon_pid(instance) == pid
        assert client.read(0, MIB) == noise(1, MIB)
    finally:
        harness.close()


def test_moved_directory_names_the_daemon_that_holds_the_disk(
    run_dir: Path, tmp_path: Path
) -> None:
    before = QemuHarness(tmp_path / "data", run_dir / "run")
    moved = None
    try:
        instance, export = attached(before, SIZE)
        client = before.client(instance, export)
        client.write(0, noise(1, MIB))
        client.flush()
        before.qemu.close()
        pid = before.daemon_pid(instance)
        (tmp_path / "data").rename(tmp_path / "data2")
        moved = QemuHarness(tmp_path / "data2", run_dir / "run2")
        moved.engine.adopt({instance: [export]})
        problem = moved.engine.health(export.disk_id).problem
        assert f"is held by process {pid} (qemu-storage-" in problem
        with pytest.raises(EngineError, match=f"process {pid} "):
            moved.engine.freeze({export.disk_id: new_id()})

        before.kill_daemon(instance)
        until = time.monotonic() + 30
        while not moved.engine.health(export.disk_id).ok and time.monotonic() < until:
            time.sleep(0.05)
        assert moved.client(instance, export).read(0, MIB) == noise(1, MIB)
    finally:
        (moved or before).close()


def test_what_cleans_tmp_spares_a_daemons_files(run_dir: Path, tmp_path: Path) -> None:
    """Without its pid file a daemon would not be found again by the next server."""
    place = run_dir / "tmp"
    place.mkdir()
    place.chmod(0o1777)
    harness = QemuHarness(tmp_path / "data", place / "mine" / "run")
    instance, _ = attached(harness, SIZE)
    harness.qemu.close()

    def clean() -> None:
        # As systemd-tmpfiles does before it looks into a directory.
        folder = os.open(place / "mine", os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(folder)

    with pytest.raises(BlockingIOError):
        clean()
    harness.kill_daemon(instance)
    clean()
    harness.close()
