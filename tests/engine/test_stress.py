"""Everything at once, at random, against a model of the contents."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
from dataclasses import dataclass, field

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import DiskBusyError, LineageLostError, NbdError
from mooring.model.extents import BLOCK_SIZE
from tests.engine.harness import (
    MIB,
    BytesImage,
    Client,
    Harness,
    QemuHarness,
    check_extents,
    content,
    eventually,
    new_id,
)

SIZE = 4 * MIB
LARGEST = 8 * MIB
LEAST_DISKS, MOST_DISKS = 3, 5
MOST_POINTS = 6
MOST_REVERTS = 12
STEPS = int(os.environ.get("MOORING_STRESS_STEPS", "400"))


@dataclass
class ModelDisk:
    """What a disk and its pending points ought to hold, and what was written since each."""

    export: Export
    whole: bytearray = field(default_factory=lambda: bytearray(SIZE))
    points: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, set[int]] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)
    client: Client | None = None
    attached: bool = True
    origin: tuple[str, BytesImage] | None = None
    """What it was reverted to, and is filled from."""
    past: set[str] = field(default_factory=set)
    """Points of before a revert, from which nothing is counted that came after."""

    @property
    def blocks(self) -> int:
        return len(self.whole) // BLOCK_SIZE

    def leave(self) -> None:
        """Drop the connection, whole or cut off."""
        if self.client is not None:
            with contextlib.suppress(NbdError):
                self.client.close()
            self.client = None


class Stress:
    """Random actions on some disks and forks of one instance, each checked where it can be."""

    def __init__(self, harness: Harness, seed: int) -> None:
        self.harness = harness
        self.random = random.Random(seed)
        self.instance = new_id()
        self.disks = [ModelDisk(Export(new_id(), f"disk-{n}")) for n in range(3)]
        for disk in self.disks:
            harness.engine.create(disk.export.disk_id, SIZE)
            harness.engine.attach(self.instance, disk.export)
        self.numbers = itertools.count(len(self.disks))
        self.lineage_kept = self.grown = self.forked = self.reverted = 0

    def run(self, steps: int) -> None:
        actions = [self.write] * 10 + [self.zero] * 4 + [self.freeze] * 4 + [
            self.freeze_all, self.release, self.release, self.release, self.check_point,
            self.check_point, self.check_live, self.detach_or_attach, self.restart,
            self.grow, self.grow, self.fork, self.stand_alone, self.delete, self.revert, self.fill,
        ]  # fmt: skip
        if isinstance(self.harness, QemuHarness):
            actions.append(self.kill)
        for _ in range(steps):
            disk = self.random.choice(self.disks)
            self.random.choice(actions)(disk)
        assert self.harness.engine.settle(60)
        for disk in self.disks:
            for point in list(disk.points):
                self.check_point(disk, point)
            self.check_live(disk)
            health = self.harness.engine.health(disk.export.disk_id)
            assert health.ok, health.problem

    # --- actions

    def client(self, disk: ModelDisk) -> Client:
        if disk.client is None:
            disk.client = self.harness.client(self.instance, disk.export)
        return disk.client

    def span(self, disk: ModelDisk) -> tuple[int, int]:
        first = self.random.randrange(disk.blocks)
        return first, min(disk.blocks - first, self.random.choice([1, 1, 2, 5, 40, 200]))

    def change(self, disk: ModelDisk, first: int, data: bytes) -> None:
        disk.whole[first * BLOCK_SIZE : first * BLOCK_SIZE + len(data)] = data
        touched = range(first, first + len(data) // BLOCK_SIZE)
        for point, written in disk.written.items():
            if point not in disk.past:
                written.update(touched)

    def write(self, disk: ModelDisk) -> None:
        if disk.attached:
            first, count = self.span(disk)
            data = self.random.randbytes(count * BLOCK_SIZE)
            self.client(disk).write(first * BLOCK_SIZE, data)
            self.change(disk, first, data)

    def zero(self, disk: ModelDisk) -> None:
        if disk.attached:
            first, count = self.span(disk)
            self.client(disk).write_zeroes(first * BLOCK_SIZE, count * BLOCK_SIZE)
            self.change(disk, first, bytes(count * BLOCK_SIZE))

    def freeze(self, *disks: ModelDisk) -> None:
        points = {disk.export.disk_id: new_id() for disk in disks if len(disk.points) < MOST_POINTS}
        self.harness.engine.freeze(points)
        for disk in disks:
            if disk.export.disk_id in points:
                point = points[disk.export.disk_id]
                disk.points[point] = bytes(disk.whole)
                disk.written[point] = set()

    def freeze_all(self, _: ModelDisk) -> None:
        self.freeze(*(disk for disk in self.disks if disk.attached))

    def release(self, disk: ModelDisk) -> None:
        if disk.points:
            point = self.random.choice(list(disk.points))
            self.harness.engine.release(
                disk.export.disk_id, point, stored=self.random.random() < 0.6
            )
            del disk.points[point]

    def check_point(self, disk: ModelDisk, point: str | None = None) -> None:
        if not disk.points:
            return
        point = point or self.random.choice(list(disk.points))
        image = self.harness.engine.open_point(disk.export.disk_id, point)
        expected = disk.points[point]
        assert content(image) == expected
        check_extents(list(image.extents()), len(expected))
        for since in disk.written:
            self.check_changes(disk, image, point, since)
        image.close()

    def check_changes(self, disk: ModelDisk, image: object, point: str, since: str) -> None:
        order = list(disk.written)
        if order.index(since) >= order.index(point):
            return
        if since in disk.past and point not in disk.past:
            with pytest.raises(LineageLostError):
                list(image.changes(since))  # type: ignore[attr-defined]
            return
        try:
            changes = list(image.changes(since))  # type: ignore[attr-defined]
        except LineageLostError:
            return
        check_extents(changes, len(disk.points[point]))
        self.lineage_kept += 1
        told = {
            block
            for extent in changes
            for block in range(extent.offset // BLOCK_SIZE, extent.end // BLOCK_SIZE)
        }
        # All that was written between the two points, unless it was written after both only.
        assert disk.written[since] - disk.written[point] <= told <= disk.written[since]
        for extent in changes:
            if extent.zero:
                assert not any(disk.points[point][extent.offset : extent.end])

    def check_live(self, disk: ModelDisk) -> None:
        if disk.attached:
            assert self.client(disk).read(0, len(disk.whole)) == disk.whole

    def detach_or_attach(self, disk: ModelDisk) -> None:
        if disk.attached:
            self.harness.engine.detach(self.instance, disk.export.disk_id, force=True)
            disk.leave()
        else:
            self.harness.engine.attach(self.instance, disk.export)
        disk.attached = not disk.attached

    def grow(self, disk: ModelDisk) -> None:
        more = self.random.choice([BLOCK_SIZE, 100 * BLOCK_SIZE, MIB])
        size = min(LARGEST, len(disk.whole) + more)
        self.harness.engine.grow(disk.export.disk_id, size)
        disk.leave()
        disk.whole.extend(bytes(size - len(disk.whole)))
        self.grown += 1

    def fork(self, disk: ModelDisk) -> None:
        if len(disk.points) >= MOST_POINTS:
            return
        if len(self.disks) == MOST_DISKS:
            self.delete(disk)
        self.freeze(disk)
        point = list(disk.points)[-1]
        made = ModelDisk(Export(new_id(), f"disk-{next(self.numbers)}"), attached=False)
        self.harness.engine.fork(disk.export.disk_id, point, made.export.disk_id)
        made.whole = bytearray(disk.points[point])
        made.written = {since: set(written) for since, written in disk.written.items()}
        made.origin, made.past = disk.origin, set(disk.past)
        self.disks.append(made)
        self.forked += 1
        self.detach_or_attach(made)

    def revert(self, disk: ModelDisk) -> None:
        """To what it held at a point, or to something else that is shorter."""
        if len(disk.points) >= MOST_POINTS or self.reverted >= MOST_REVERTS:
            return
        then = [*disk.points.values(), self.random.randbytes(SIZE // 2)]
        image, snapshot = BytesImage(self.random.choice(then)), new_id()
        source, kept = self.harness.source(image, snapshot), new_id()
        disk.leave()
        keep = self.random.random() < 0.8

        def done() -> bool:
            try:
                self.harness.engine.revert(
                    disk.export.disk_id, source, kept, size=len(disk.whole), keep=keep
                )
            except DiskBusyError:
                return False  # the client has just left
            return True

        eventually(done)
        if keep:
            disk.points[kept] = bytes(disk.whole)
            disk.written[kept] = set()
        disk.past |= disk.written.keys()
        disk.written[snapshot] = set()
        disk.whole[:] = image.read(0, image.size) + bytes(len(disk.whole) - image.size)
        disk.origin = snapshot, image
        self.reverted += 1

    def fill(self, disk: ModelDisk) -> None:
        if disk.origin is not None:
            snapshot, image = disk.origin
            self.harness.engine.fill(disk.export.disk_id, image, snapshot_id=snapshot)

    def stand_alone(self, disk: ModelDisk) -> None:
        """Let it do without the disk that it was made of, and forget that one's points."""
        engine, disk_id = self.harness.engine, disk.export.disk_id
        engine.stand_alone(disk_id)
        for point in engine.points(disk_id):
            if point not in disk.points:
                engine.release(disk_id, point, stored=self.random.random() < 0.5)

    def delete(self, spared: ModelDisk) -> None:
        """Delete another one, perhaps with forks that still read its layers."""
        if len(self.disks) <= LEAST_DISKS:
            return
        disk = self.random.choice([one for one in self.disks if one is not spared])
        if disk.attached:
            self.detach_or_attach(disk)
        self.harness.engine.delete(disk.export.disk_id)
        self.disks.remove(disk)

    def restart(self, _: ModelDisk) -> None:
        self.harness.restart()
        wanted = [disk.export for disk in self.disks if disk.attached]
        self.harness.engine.adopt({self.instance: wanted})

    def kill(self, _: ModelDisk) -> None:
        assert isinstance(self.harness, QemuHarness)
        attached = [disk for disk in self.disks if disk.attached]
        if self.random.random() < 0.5 or not attached:
            return
        for disk in attached:
            self.client(disk).flush()
            disk.leave()
        if self.random.random() < 0.5:
            self.revert(self.random.choice(attached))
        self.harness.kill_daemon(self.instance)
        # A freeze, like any call, finds the daemon or starts it.
        self.freeze(*attached)
        for disk in attached:
            # The pauses grow when a daemon dies again and again.
            eventually(functools.partial(self.connected, disk), 60)

    def connected(self, disk: ModelDisk) -> bool:
        try:
            self.client(disk)
        except NbdError:
            return False
        return True


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_at_random(local_harness: Harness, seed: int) -> None:
    stress = Stress(local_harness, seed)
    stress.run(STEPS)

    assert stress.lineage_kept > 0
    assert stress.grown > 0
    assert stress.forked > 0
    assert stress.reverted > 0


@pytest.mark.full
def test_everything_at_random_in_a_cluster(qemu_on_rbd: QemuHarness) -> None:
    """A quarter of the steps, because each of them asks the cluster several times."""
    stress = Stress(qemu_on_rbd, 1)
    stress.run(STEPS // 4)

    assert stress.grown + stress.forked + stress.reverted > 0
