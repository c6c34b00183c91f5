"""Daemons that die or hang, and merges cut short: nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.daemon.latecomers import Nobody
from mooring.engine.qemu.daemon.open_layers import OpenLayers
from mooring.engine.qemu.daemon.process import find_started
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.model.clock import SystemClock
from mooring.model.errors import (
    ConfigurationError,
    DiskBusyError,
    EngineError,
    NbdError,
)
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.nbd.blocking import BlockingNbdClient
from mooring.observe import metrics
from tests.engine.harness import (
    MIB,
    QemuHarness,
    attached,
    content,
    eventually,
    new_id,
    noise,
)

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

SIZE = 16 * MIB


@pytest.fixture
def slow(run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    """An engine whose merges take a second for each MiB."""
    settings = DaemonSettings(merge_bytes_per_second=MIB)
    harness = QemuHarness(tmp_path / "data", run_dir / "run", settings)
    yield harness
    harness.close()


@pytest.fixture
def impatient(run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    """An engine that waits only a second for a daemon's answer."""
    settings = DaemonSettings(answer_seconds=1.0, start_seconds=1.0)
    harness = QemuHarness(tmp_path / "data", run_dir / "run", settings)
    yield harness
    harness.close()


def reconnected(harness: QemuHarness, instance: str, export: Export) -> BlockingNbdClient:
    """Connect as soon as the daemon is back."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return harness.client(instance, export)
        except NbdError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_killed_daemon_comes_back_with_all_points(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    points = [new_id() for _ in range(3)]
    for number, point in enumerate(points):
        client.write(number * MIB, noise(number, MIB))
        qemu.engine.freeze({disk: point})
    client.write(3 * MIB, noise(3, MIB))
    client.flush()

    qemu.kill_daemon(instance)
    client = reconnected(qemu, instance, export)

    whole = b"".join(noise(number, MIB) for number in range(4))
    assert client.read(0, 4 * MIB) == whole
    for number, point in enumerate(points):
        image = qemu.engine.open_point(disk, point)
        assert image.read(0, 4 * MIB) == whole[: (number + 1) * MIB].ljust(4 * MIB, b"\0")
        image.close()
    last = new_id()
    qemu.engine.freeze({disk: last})
    image = qemu.engine.open_point(disk, last)
    assert list(image.changes(points[-1])) == [Extent(3 * MIB, MIB)]
    image.close()
    assert qemu.engine.health(disk).ok


def test_death_of_a_daemon_is_logged_and_counted(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE, "data")
    counted = deaths()
    folder = qemu.run_dir / instance
    with capture_logs() as logs:
        daemon = qemu.daemon_pid(instance)
        hidden = folder.with_name("hidden")
        # No daemon can be started there for now.
        folder.rename(hidden)
        folder.touch()
        os.kill(daemon, signal.SIGKILL)
        eventually(lambda: "a storage daemon cannot be started" in events(logs), 60)
        folder.unlink()
        hidden.rename(folder)
        reconnected(qemu, instance, export)
        eventually(lambda: events(logs)[-1].endswith("in the place of one that died"), 60)

    told = [one for one in logs if one["event"].startswith("a storage daemon")]
    assert events(told)[0] == "a storage daemon has died: what was not flushed may be lost"
    assert all(one["instance"] == instance and one["disks"] == ["data"] for one in told)
    assert deaths() == counted + 1


def events(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(one["event"]) for one in logs]


def deaths() -> float:
    (line,) = (
        line
        for line in metrics.text().decode().splitlines()
        if line.startswith("mooring_storage_daemon_deaths_total ")
    )
    return float(line.split()[1])


def test_daemon_killed_in_a_merge_loses_nothing(slow: QemuHarness) -> None:
    instance, export = attached(slow, SIZE)
    disk = export.disk_id
    client = slow.client(instance, export)
    first, second = new_id(), new_id()
    client.write(0, noise(1, 4 * MIB))
    slow.engine.freeze({disk: first})
    client.write(2 * MIB, noise(2, 4 * MIB))
    slow.engine.freeze({disk: second})
    slow.engine.release(disk, first, stored=True)
    eventually(lambda: merging(slow, instance))
    time.sleep(0.5)

    slow.kill_daemon(instance)
    client = reconnected(slow, instance, export)

    expected = noise(1, 4 * MIB)[: 2 * MIB] + noise(2, 4 * MIB)
    assert client.read(0, 6 * MIB) == expected
    image = slow.engine.open_point(disk, second)
    assert content(image)[: 6 * MIB] == expected
    assert list(image.changes(first)) == [Extent(2 * MIB, 4 * MIB)]
    image.close()
    assert slow.engine.settle(30)
    assert slow.engine.health(disk).layers == 3
    assert client.read(0, 6 * MIB) == expected


def merging(harness: QemuHarness, instance: str) -> bool:
    registry = harness.qemu._registry
    if any(disk.copying is not None for disk in registry._disks.values()):
        return True
    # The daemon has one monitor, so ask the engine's own connection.
    return bool(registry.instance(instance).daemon()._connection.call("query-jobs"))


def test_freezes_go_on_during_a_merge(slow: QemuHarness) -> None:
    instance, export = attached(slow, SIZE)
    disk = export.disk_id
    client = slow.client(instance, export)
    points = [new_id() for _ in range(4)]
    client.write(0, noise(1, 4 * MIB))
    slow.engine.freeze({disk: points[0]})
    slow.engine.release(disk, points[0], stored=True)
    eventually(lambda: merging(slow, instance))

    for number in (1, 2, 3):
        client.write(number * MIB, noise(10 + number, MIB))
        slow.engine.freeze({disk: points[number]})

    assert merging(slow, instance)
    assert slow.engine.points(disk) == points
    assert slow.engine.settle(30)
    image = slow.engine.open_point(disk, points[3])
    expected = noise(1, MIB) + b"".join(noise(10 + n, MIB) for n in (1, 2, 3))
    assert content(image)[: 4 * MIB] == expected
    image.close()


def test_disk_whose_merges_do_not_keep_up_is_not_frozen(slow: QemuHarness) -> None:
    slow.qemu.close()
    slow.settings = replace(slow.settings, most_layers=5)
    slow.engine = slow.qemu = slow.open()
    instance, export = attached(slow, SIZE)
    disk = export.disk_id
    client = slow.client(instance, export)
    client.write(0, noise(1, 4 * MIB))
    points = [new_id() for _ in range(3)]
    for point in points:
        slow.engine.freeze({disk: point})
        slow.engine.release(disk, point, stored=True)

    with pytest.raises(EngineError, match="5 layers that are not merged yet"):
        slow.engine.freeze({disk: new_id()})

    assert slow.engine.points(disk) == points
    assert slow.engine.settle(30)
    last = new_id()
    slow.engine.freeze({disk: last})
    image = slow.engine.open_point(disk, last)
    assert content(image)[: 4 * MIB] == noise(1, 4 * MIB)
    image.close()


def test_merge_gives_way_to_detaching_and_attaching(slow: QemuHarness) -> None:
    instance, export = attached(slow, SIZE)
    disk = export.disk_id
    client = slow.client(instance, export)
    given_up, needed = new_id(), new_id()
    slow.engine.freeze({disk: given_up})
    client.write(0, noise(1, 8 * MIB))
    slow.engine.freeze({disk: needed})
    slow.engine.release(disk, given_up, stored=False)
    eventually(lambda: merging(slow, instance))
    client.close()

    def is_detached() -> bool:
        """The daemon may see a moment later that the client has gone."""
        with contextlib.suppress(DiskBusyError):
            slow.engine.detach(instance, disk)
            return True
        return False

    started = time.monotonic()
    eventually(is_detached)
    offline = slow.run_dir / f"merge-{disk}" / "pid"
    eventually(offline.exists)
    slow.engine.freeze({disk: new_id()})
    slow.engine.attach(instance, export)
    # Much less than the merge takes.
    assert time.monotonic() - started < 6

    assert not offline.exists()
    client = slow.client(instance, export)
    assert client.read(0, 8 * MIB) == noise(1, 8 * MIB)
    assert slow.engine.settle(30)
    assert slow.engine.health(disk).layers == 4
    assert client.read(0, 8 * MIB) == noise(1, 8 * MIB)


def test_merge_into_the_base_outlasts_detaching_and_attaching(slow: QemuHarness) -> None:
    instance, export = attached(slow, SIZE)
    disk = export.disk_id
    client = slow.client(instance, export)
    point = new_id()
    client.write(0, noise(1, 4 * MIB))
    slow.engine.freeze({disk: point})
    slow.engine.release(disk, point, stored=True)
    eventually(lambda: merging(slow, instance))
    copying = slow.qemu._registry.disk(disk).copying
    client.close()

    slow.engine.detach(instance, disk)
    last = new_id()
    slow.engine.freeze({disk: last})
    slow.engine.attach(instance, export)
    slow.engine.detach(instance, disk)
    slow.engine.attach(instance, export)

    assert slow.qemu._registry.disk(disk).copying is copying
    client = slow.client(instance, export)
    client.write(2 * MIB, noise(2, MIB))
    assert slow.engine.settle(30)
    assert slow.engine.health(disk).layers == 3
    whole = noise(1, 4 * MIB)
    assert client.read(0, 4 * MIB) == whole[: 2 * MIB] + noise(2, MIB) + whole[3 * MIB :]
    image = slow.engine.open_point(disk, last)
    assert content(image)[: 4 * MIB] == whole
    image.close()


def test_detached_disk_is_merged(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    points = [new_id() for _ in range(3)]
    for number, point in enumerate(points):
        client.write(number * MIB, noise(number, 2 * MIB))
        qemu.engine.freeze({disk: point})
    client.close()
    qemu.engine.detach(instance, disk)

    for point in points:
        qemu.engine.release(disk, point, stored=True)
    assert qemu.engine.settle()

    assert len(qemu.layer_names(disk)) == 2
    assert not list(qemu.run_dir.glob("*/pid"))
    qemu.engine.attach(instance, export)
    expected = noise(0, 2 * MIB)[:MIB] + noise(1, 2 * MIB)[:MIB] + noise(2, 2 * MIB)
    assert qemu.client(instance, export).read(0, 4 * MIB) == expected


def test_hanging_daemon_is_told_of_and_loses_nothing(impatient: QemuHarness) -> None:
    instance, export = attached(impatient, SIZE)
    disk = export.disk_id
    client = impatient.client(instance, export)
    stored, failed, last = new_id(), new_id(), new_id()
    impatient.engine.freeze({disk: stored})
    impatient.engine.release(disk, stored, stored=True)
    assert impatient.engine.settle()
    client.write(0, noise(1, MIB))
    pid = impatient.daemon_pid(instance)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(EngineError, match="answer"):
            impatient.engine.freeze({disk: failed})
        health = impatient.engine.health(disk)
        assert not health.ok
        assert "answer" in health.problem
    finally:
        os.kill(pid, signal.SIGCONT)

    eventually(lambda: impatient.engine.health(disk).ok)
    client.write(MIB, noise(2, MIB))
    impatient.engine.freeze({disk: last})
    assert impatient.daemon_pid(instance) == pid
    image = impatient.engine.open_point(disk, last)
    assert list(image.changes(stored)) == [Extent(0, 2 * MIB)]
    assert image.read(0, 2 * MIB) == noise(1, MIB) + noise(2, MIB)
    image.close()
    impatient.engine.release(disk, last, stored=True)
    assert impatient.engine.settle()
    assert impatient.engine.points(disk) == [last]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_daemon_killed_in_a_freeze(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    stored, point = new_id(), new_id()
    qemu.engine.freeze({disk: stored})
    client.write(0, noise(1, MIB))
    client.flush()
    snapshot = OpenLayers.snapshot

    def kill_in_snapshot(layers: OpenLayers, tops: dict[str, tuple[int, int]]) -> float:
        monkeypatch.undo()
        if after:
            snapshot(layers, tops)
        qemu.kill_daemon(instance)
        return snapshot(layers, tops)

    monkeypatch.setattr(OpenLayers, "snapshot", kill_in_snapshot)
    with pytest.raises(EngineError, match="daemon"):
        qemu.engine.freeze({disk: point})

    client = reconnected(qemu, instance, export)
    client.write(MIB, noise(2, MIB))
    qemu.engine.freeze({disk: point})
    image = qemu.engine.open_point(disk, point)
    assert image.read(0, 3 * MIB) == noise(1, MIB) + noise(2, MIB) + bytes(MIB)
    assert list(image.changes(stored)) == [Extent(0, 2 * MIB)]
    image.close()
    qemu.engine.release(disk, stored, stored=True)
    qemu.engine.release(disk, point, stored=True)
    assert qemu.engine.settle()
    assert qemu.engine.points(disk) == [point]


def test_refused_freeze_leaves_nothing(qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    instance, one = attached(qemu, SIZE, "one")
    other = Export(new_id(), "other")
    qemu.engine.create(other.disk_id, SIZE)
    qemu.engine.attach(instance, other)
    client = qemu.client(instance, one)
    add_top = OpenLayers.add_top

    def fail_second(layers: OpenLayers, disk_id: str, layer: object) -> None:
        if disk_id == max(one.disk_id, other.disk_id):
            raise EngineError("made to fail")
        add_top(layers, disk_id, layer)  # type: ignore[arg-type]

    points = {disk: new_id() for disk in sorted((one.disk_id, other.disk_id))}
    names = {disk: qemu.layer_names(disk) for disk in points}
    monkeypatch.setattr(OpenLayers, "add_top", fail_second)
    with pytest.raises(EngineError, match="made to fail"):
        qemu.engine.freeze(points)
    monkeypatch.undo()

    assert {disk: qemu.layer_names(disk) for disk in points} == names
    client.write(0, noise(1, MIB))
    qemu.engine.freeze(points)
    image = qemu.engine.open_point(one.disk_id, points[one.disk_id])
    assert image.read(0, MIB) == noise(1, MIB)
    image.close()


def test_two_engines_do_not_share_a_folder(
    qemu: QemuHarness, run_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="another server"):
        QemuEngine(qemu.root, run_dir / "run2", SystemClock())
    with pytest.raises(ConfigurationError, match="another server"):
        QemuEngine(tmp_path / "data2", qemu.run_dir, SystemClock())

    attached(qemu, SIZE)
    qemu.restart()


def test_too_long_run_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        QemuEngine(tmp_path / "data", tmp_path / ("x" * 60), SystemClock())


def test_daemon_that_does_not_start_says_why(run_dir: Path, tmp_path: Path) -> None:
    harness = QemuHarness(tmp_path, run_dir, DaemonSettings(program="/bin/false"))
    try:
        with pytest.raises(EngineError, match="did not start"):
            attached(harness, SIZE)
    finally:
        harness.close()


def test_sockets_are_for_their_owner_only(qemu: QemuHarness) -> None:
    instance, _ = attached(qemu, SIZE)
    folder = qemu.run_dir / instance

    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("qmp.sock", "nbd.sock"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_sizes_must_fit_blocks(qemu: QemuHarness) -> None:
    for size in (0, -BLOCK_SIZE, BLOCK_SIZE + 1):
        with pytest.raises(EngineError, match="multiple"):
            qemu.engine.create(new_id(), size)


def test_a_daemon_too_slow_to_start_is_ended(run_dir: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow-daemon"
    slow.write_text("#!/bin/sh\nkill -STOP $$\n")
    slow.chmod(0o700)
    settings = DaemonSettings(program=str(slow), start_seconds=0.5)
    daemon = Daemon(run_dir / "daemon", settings, SystemClock(), Nobody())

    with pytest.raises(EngineError, match="did not start"):
        daemon.start()

    assert find_started(run_dir / "daemon") is None
    assert not daemon.alive()


def test_a_daemon_that_says_nothing_is_started_again(run_dir: Path, tmp_path: Path) -> None:
    shy = tmp_path / "shy-daemon"
    shy.write_text(
        f"#!/bin/sh\nif mkdir {tmp_path}/was-here; then kill -STOP $$; fi\n"
        'exec qemu-storage-daemon "$@"\n'
    )
    shy.chmod(0o700)
    settings = DaemonSettings(program=str(shy), start_seconds=2)
    daemon = Daemon(run_dir / "daemon", settings, SystemClock(), Nobody())

    daemon.start()

    assert (tmp_path / "was-here").is_dir()
    daemon.ping()
    daemon.quit()
