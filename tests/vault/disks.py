"""A disk as a test remembers it, and ways to store and check it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.vault.format.root import Root, SnapshotInfo
from mooring.vault.reading.reader import SnapshotReader
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from mooring.vault.writing.writer import SnapshotWriter

ZERO = bytes(BLOCK_SIZE)
MIB = 1024 * 1024


def info(snapshot_id: str, size: int = 8 * GIB, **more: object) -> SnapshotInfo:
    fields: dict[str, object] = {
        "id": snapshot_id,
        "region": "us-east-2",
        "name": f"name of {snapshot_id}",
        "disk_id": "disk-1",
        "disk_name": "data",
        "size": size,
        "created_ms": 1_700_000_000_000,
    }
    return SnapshotInfo(**{**fields, **more})  # type: ignore[arg-type]


@dataclass
class Disk:
    """The blocks that are not zero, by number."""

    size: int = 8 * GIB
    blocks: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> Disk:
        return Disk(self.size, dict(self.blocks))

    def write(self, writer: SnapshotWriter, first: int, data: bytes, **how: bool) -> None:
        """Write to the disk and to the writer."""
        for number in range(len(data) // BLOCK_SIZE):
            block = data[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE]
            if block == ZERO:
                self.blocks.pop(first + number, None)
            else:
                self.blocks[first + number] = block
        writer.write(first * BLOCK_SIZE, data, **how)

    def zero(self, writer: SnapshotWriter, first: int, count: int) -> None:
        if count < len(self.blocks):
            for block in range(first, first + count):
                self.blocks.pop(block, None)
        else:
            for block in [one for one in self.blocks if first <= one < first + count]:
                del self.blocks[block]
        writer.zero(first * BLOCK_SIZE, count * BLOCK_SIZE)

    def read(self, offset: int, length: int) -> bytes:
        first = offset // BLOCK_SIZE
        return b"".join(
            self.blocks.get(block, ZERO) for block in range(first, first + length // BLOCK_SIZE)
        )

    def runs(self) -> Iterator[tuple[int, bytes]]:
        """The first block and the content of each run of blocks that are not zero."""
        for _, run in itertools.groupby(
            enumerate(sorted(self.blocks)), lambda one: one[1] - one[0]
        ):
            numbers = [number for _, number in run]
            yield numbers[0], b"".join(self.blocks[number] for number in numbers)

    def check(self, reader: SnapshotReader, step: int = MIB) -> None:
        """Assert that the reader has exactly these blocks."""
        assert reader.size == self.size
        seen: set[int] = set()
        last = -1
        for extent in reader.extents():
            assert extent.offset > last
            last = extent.end
            for offset in range(extent.offset, extent.end, step):
                length = min(step, extent.end - offset)
                assert reader.read(offset, length) == self.read(offset, length), offset
            seen.update(range(extent.offset // BLOCK_SIZE, extent.end // BLOCK_SIZE))
        assert seen == set(self.blocks)


def content(rng: random.Random, blocks: int) -> bytes:
    """Blocks some of which are alike, some zero, some compressible, some not."""
    parts = []
    for _ in range(blocks):
        kind = rng.randrange(6)
        if kind == 0:
            parts.append(ZERO)
        elif kind == 1:
            parts.append(rng.randbytes(BLOCK_SIZE))
        elif kind == 2:
            # Zeros but for one byte: what a careless test for zeros would miss.
            place = rng.randrange(BLOCK_SIZE)
            parts.append(bytes(place) + b"\1" + bytes(BLOCK_SIZE - place - 1))
        else:
            parts.append(bytes([rng.randrange(1, 4)]) * BLOCK_SIZE)
    return b"".join(parts)


def objects(memory: MemoryStore) -> list[str]:
    """What a vault consists of, but for the tombstones, which go after some minutes."""
    return sorted(name for name in memory.objects if not name.startswith("deleted/"))


def store(
    vault: Vault, snapshot_id: str, writes: Mapping[int, bytes], parent: str | None = None
) -> Root:
    """Store a snapshot with these writes (first block: data)."""
    with vault.begin(info(snapshot_id), parent) as writer:
        for first, data in writes.items():
            writer.write(first * BLOCK_SIZE, data)
        return writer.commit()


def check_all(vault: Vault, disks: Mapping[str, Disk], ids: Iterable[str] | None = None) -> None:
    """Assert that the vault has these snapshots and no other, with this content."""
    assert set(vault.snapshot_ids()) == set(disks)
    for snapshot_id in disks if ids is None else ids:
        with vault.open(snapshot_id) as reader:
            disks[snapshot_id].check(reader)
