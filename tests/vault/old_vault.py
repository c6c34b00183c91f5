"""Makes the vaults that are kept to prove that their format stays readable.

    .venv/bin/python -m tests.vault.old_vault tests/vault/data/version-1
    .venv/bin/python -m tests.vault.old_vault tests/vault/data/version-1-sealed
    .venv/bin/python -m tests.vault.old_vault tests/vault/data/version-1-thinned

A name that ends in `-sealed` makes one with a key, which `SECRET` opens; one in `-thinned` a vault
with a segment that was written again without its dead frames. Run once for each version
of the format, when it is released; never again for that version.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.model.ids import SequentialIds
from mooring.vault.claims.margins import MARGINS
from mooring.vault.format.layout import FRAME_BYTES, PAGE_BLOCKS, SEGMENT_BYTES
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.disks import Disk, info
from tests.vault.faults import WithoutHoles

SIZE = 40 * GIB
FIRST, SECOND = "5d3f0a52-0000-4000-8000-000000000001", "5d3f0a52-0000-4000-8000-000000000002"
BEFORE, MORE = "5d3f0a52-0000-4000-8000-000000000000", 30 * GIB // BLOCK_SIZE
SECRET = b"kept to be read"
NAMES = {"tags": {"kept": "yes", "flag": None}, "extra": {"more": "text"}}


def noise(number: int) -> bytes:
    """A block that does not compress, the same at all times."""
    return hashlib.shake_128(str(number).encode()).digest(BLOCK_SIZE)


def text(number: int) -> bytes:
    """A block that compresses."""
    return (f"block {number}. ".encode() * BLOCK_SIZE)[:BLOCK_SIZE]


def disks() -> dict[str, Disk]:
    """What the two snapshots hold."""
    first = Disk(SIZE)
    first.blocks.update({number: text(number) for number in range(10, 400)})
    first.blocks.update({number: noise(number) for number in (PAGE_BLOCKS, 20 * GIB // BLOCK_SIZE)})
    second = first.copy()
    second.blocks.update({number: noise(number) for number in (15, SIZE // BLOCK_SIZE - 1)})
    for number in range(200, 230):
        del second.blocks[number]
    return {FIRST: first, SECOND: second}


def secret_of(name: str) -> bytes | None:
    """What opens the vault of that name."""
    return SECRET if name.endswith("-sealed") else None


def make(directory: Path) -> None:
    thinned = directory.name.endswith("-thinned")
    store = WithoutHoles(directory) if thinned else DirectoryStore(directory)
    content = disks()
    small = SEGMENT_BYTES if thinned else FRAME_BYTES * 5 // 4
    clock = ManualClock()
    with Vault.create_or_open(
        store,
        clock,
        VaultOptions(segment_bytes=small),
        ids=SequentialIds(),
        secret=secret_of(directory.name),
    ) as vault:
        if thinned:
            with vault.begin(info(BEFORE, SIZE)) as writer:
                for number, data in sorted(content[FIRST].blocks.items()):
                    writer.write(number * BLOCK_SIZE, data)
                writer.write(MORE * BLOCK_SIZE, b"".join(map(noise, range(MORE, MORE + 100))))
                writer.commit()
        with vault.begin(info(FIRST, SIZE, **NAMES), BEFORE if thinned else None) as writer:
            if thinned:
                writer.zero(MORE * BLOCK_SIZE, 100 * BLOCK_SIZE)
            else:
                for number, data in sorted(content[FIRST].blocks.items()):
                    writer.write(number * BLOCK_SIZE, data)
            writer.commit()
        with vault.begin(info(SECOND, SIZE), FIRST) as writer:
            writer.write(15 * BLOCK_SIZE, noise(15))
            writer.zero(200 * BLOCK_SIZE, 30 * BLOCK_SIZE)
            writer.write(SIZE - BLOCK_SIZE, noise(SIZE // BLOCK_SIZE - 1))
            writer.commit()
        if thinned:
            vault.delete(BEFORE)
            assert vault.collect().segments_rewritten == 1
            clock.advance(MARGINS.tombstone_kept_ms / 1000 + 1)
            vault.collect()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
