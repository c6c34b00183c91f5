"""The power fails at every flush while forks live: nothing flushed is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.reading.frozen import QemuFrozenImage
from mooring.model.extents import BLOCK_SIZE
from tests.engine.harness import MIB, QemuHarness, attached, content, end_daemons, new_id, noise
from tests.engine.logged_file_system import LoggedFileSystem

pytestmark = [
    pytest.mark.full,
    pytest.mark.requires("qemu-storage-daemon", "losetup"),
    pytest.mark.timeout(600),
]

SIZE = 4 * MIB
WHOLE_RUNS = 10

Promise = Mapping[str, tuple[bytes | None, ...]]
"""What each disk may hold, by its id; None: it may be absent."""


class Story:
    """Forks, of a fork, too, that are written, copied, merged, and left by their sources."""

    def __init__(self, harness: QemuHarness, device: LoggedFileSystem) -> None:
        self.harness, self.device = harness, device
        self.promises: list[tuple[int, Promise]] = []
        self.now: dict[str, tuple[bytes | None, ...]] = {}
        self.numbers = iter(range(1000))

    def tell(self) -> None:
        self.promises.append((self.device.position(), dict(self.now)))

    def write(self, instance: str, export: Export, client_of: dict[str, object]) -> None:
        client = client_of.setdefault(export.disk_id, self.harness.client(instance, export))
        (before,) = self.now[export.disk_id]
        assert before is not None
        number = next(self.numbers)
        place = number * 37 % (SIZE // BLOCK_SIZE) * BLOCK_SIZE
        data = noise(number, BLOCK_SIZE)
        after = before[:place] + data + before[place + BLOCK_SIZE :]
        self.now[export.disk_id] = (before, after)
        self.tell()
        client.write(place, data)  # type: ignore[attr-defined]
        client.flush()  # type: ignore[attr-defined]
        self.now[export.disk_id] = (after,)
        self.tell()

    def freeze(self, export: Export) -> str:
        point = new_id()
        self.harness.engine.freeze({export.disk_id: point})
        return point

    def fork(self, export: Export) -> Export:
        made = Export(new_id(), f"fork-{next(self.numbers)}")
        (held,) = self.now[export.disk_id]
        point = self.freeze(export)
        self.now[made.disk_id] = (None, held)
        self.tell()
        self.harness.engine.fork(export.disk_id, point, made.disk_id)
        self.now[made.disk_id] = (held,)
        self.tell()
        return made

    def release_all(self, export: Export) -> None:
        for point in self.harness.engine.points(export.disk_id):
            self.harness.engine.release(export.disk_id, point, stored=True)

    def run(self) -> None:
        engine, clients = self.harness.engine, dict[str, object]()
        instance, first = attached(self.harness, SIZE)
        self.now[first.disk_id] = (bytes(SIZE),)
        self.tell()
        for _ in range(3):
            self.write(instance, first, clients)
            self.freeze(first)
        second = self.fork(first)
        other = new_id()
        engine.attach(other, second)
        self.write(instance, first, clients)
        self.write(other, second, clients)
        third = self.fork(second)
        engine.attach(other, third)
        self.write(other, third, clients)
        self.release_all(first)
        engine.stand_alone(second.disk_id)
        self.write(other, second, clients)
        self.release_all(second)
        assert engine.settle(60)
        self.write(instance, first, clients)
        clients.clear()
        engine.detach(instance, first.disk_id, force=True)
        # The last fork still reads from files that had other names.
        (held,) = self.now[first.disk_id]
        self.now[first.disk_id] = (held, None)
        self.tell()
        engine.delete(first.disk_id)
        engine.stand_alone(third.disk_id)
        self.release_all(third)
        self.write(other, third, clients)
        assert engine.settle(60)
        self.tell()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_cut_at_every_flush_of_forks(kind: str, tmp_path: Path, run_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    device = LoggedFileSystem(tmp_path, kind)
    try:
        harness = QemuHarness(device.folder / "data", run_dir / "run")
        try:
            story = Story(harness, device)
            story.run()
        finally:
            harness.close()
    finally:
        device.close()

    lot = random.Random(1)
    begun = story.promises[0][0]
    cuts = [at for at in device.flushes() if at > begun]
    whole = set(lot.sample(cuts, WHOLE_RUNS))
    seen: set[str] = set()
    for at in cuts:
        # Right after a flush, and while it is under way: then a part of that is there.
        for place, chosen in ((at, None), (at - 1, lot)):
            known = [told for position, told in story.promises if position <= place][-1]
            with device.cut(place, chosen) as folder:
                seen |= check_files(folder / "data", known)
                if at in whole:
                    check_engine(folder / "data", run_dir / "after", known)

    # The test is worth nothing if there was nothing to lose.
    assert len(cuts) > 30
    assert seen >= set(story.now)


def check_files(root: Path, promise: Promise) -> set[str]:
    """Compare what the files hold; tells which disks were there."""
    found = set()
    for disk_id, allowed in promise.items():
        layers = DiskLayers(root / "disks", disk_id)
        if not layers.exist():
            assert None in allowed, f"{disk_id} is gone"
            continue
        image = QemuFrozenImage(layers.check(), "", lambda: None)
        try:
            assert content(image) in allowed, f"{disk_id} holds something else"
        finally:
            image.close()
        found.add(disk_id)
    return found


def check_engine(root: Path, run_dir: Path, promise: Promise) -> None:
    """Go on with the disks: copy what is shared, merge, write."""
    harness = QemuHarness(root, run_dir)
    try:
        engine = harness.engine
        for number, disk_id in enumerate(promise):
            if not DiskLayers(root / "disks", disk_id).exist():
                continue
            export, instance = Export(disk_id, f"disk-{number}"), new_id()
            engine.attach(instance, export)
            client = harness.client(instance, export)
            held = client.read(0, SIZE)
            assert held in promise[disk_id]
            engine.stand_alone(disk_id)
            client.write(0, noise(number, BLOCK_SIZE))
            point = new_id()
            engine.freeze({disk_id: point})
            for known in engine.points(disk_id):
                engine.release(disk_id, known, stored=True)
            assert client.read(BLOCK_SIZE, SIZE - BLOCK_SIZE) == held[BLOCK_SIZE:]
        assert engine.settle(60)
        for disk_id in promise:
            if DiskLayers(root / "disks", disk_id).exist():
                health = engine.health(disk_id)
                assert health.ok, health.problem
                assert health.layers == 2
    finally:
        harness.close()
        end_daemons(run_dir)
