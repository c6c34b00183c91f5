"""Forks under test: the engine that makes them, and what they hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mooring.engine.interface import Export
from mooring.model.errors import NbdError
from tests.engine.harness import MIB, Harness, QemuHarness, eventually, new_id
from tests.mounts import file_system

SIZE = 8 * MIB


@contextmanager
def engine_on(kind: str, run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    """The engine on a file system of its own: ext4 links layers, XFS also clones them."""
    with file_system(tmp_path / "mount", kind) as folder:
        harness = QemuHarness(folder / "data", run_dir / "run")
        try:
            yield harness
        finally:
            harness.close()


def fork(harness: Harness, disk: str) -> tuple[str, Export]:
    """Freeze the disk and fork it there; returns the point and the fork."""
    point, made = new_id(), Export(new_id(), "fork")
    harness.engine.freeze({disk: point})
    harness.engine.fork(disk, point, made.disk_id)
    harness.engine.release(disk, point, stored=False)
    return point, made


def shared(harness: Harness, export: Export) -> bool:
    """Whether the fork still has files of the disk; an engine in memory never has."""
    return isinstance(harness, QemuHarness) and "shared" in harness.layer_names(export.disk_id)


def read(harness: Harness, export: Export, length: int = SIZE, offset: int = 0) -> bytes:
    """What a disk holds that nobody uses."""
    instance = new_id()
    harness.engine.attach(instance, export)
    client = harness.client(instance, export)
    try:
        return client.read(offset, length)
    finally:
        client.close()
        harness.engine.detach(instance, export.disk_id, force=True)


def read_again(harness: QemuHarness, instance: str, export: Export) -> bytes:
    """The first of a disk whose daemon is started again."""
    found: list[bytes] = []

    def reads() -> bool:
        with contextlib.suppress(NbdError):
            found.append(harness.client(instance, export).read(0, 2 * MIB))
        return bool(found)

    eventually(reads)
    return found[0]
