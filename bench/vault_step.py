"""One step of a vault's work, in a process of its own, for bench.vault_peers.

It says how many seconds it took without the start of Python.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mooring.images.fill import fill
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.vault.format.frame import Kind, Packer
from mooring.vault.format.layout import FRAME_BYTES
from mooring.vault.format.root import SnapshotInfo
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions

CHUNK = 4 * 1024 * 1024
TELLS = "seconds inside: "


def run_step(
    step: str, repository: Path, image: Path, changes: Path | None, key: bytes | None
) -> None:
    with Vault.create_or_open(
        DirectoryStore(repository),
        SystemClock(),
        VaultOptions(threads=os.cpu_count() or 1),
        secret=key,
    ) as vault:
        if step == "restore":
            restore_to(vault, "next", image.with_name("out"))
            return
        extents = [Extent(0, image.stat().st_size)]
        if step == "next" and changes is not None:
            numbers = changes.read_text(encoding="ascii").split()
            extents = [Extent(int(number) * BLOCK_SIZE, BLOCK_SIZE) for number in numbers]
        parent = None if step == "first" else "first"
        with (
            vault.begin(info(step, image.stat().st_size), parent) as writer,
            image.open("rb") as file,
        ):
            for extent in extents:
                for offset in range(extent.offset, extent.end, CHUNK):
                    data = os.pread(file.fileno(), min(CHUNK, extent.end - offset), offset)
                    writer.write(offset, data, compare=changes is None)
            writer.commit()


def info(name: str, size: int) -> SnapshotInfo:
    return SnapshotInfo(
        id=name,
        region="bench",
        name=name,
        disk_id="disk",
        disk_name="disk",
        size=size,
        created_ms=0,
    )


def restore_to(vault: Vault, name: str, target: Path) -> None:
    """As a new disk is filled: past the page cache, durable in the end."""
    with vault.open(name) as reader, target.open("wb") as file:
        file.truncate(reader.size)
        fill(file.fileno(), reader, lambda done: None)
        os.fdatasync(file.fileno())


def compress_alone(image: Path) -> None:
    """Digest and compress the same frames on all cores, and store nothing."""
    packer = Packer(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool, image.open("rb", buffering=0) as file:
        waiting = []
        while data := file.read(CHUNK):
            for at in range(0, len(data), FRAME_BYTES):
                piece = memoryview(data)[at : at + FRAME_BYTES]
                if piece != bytes(len(piece)):
                    waiting.append(pool.submit(packer.pack, piece, Kind.DATA))
            while len(waiting) > 32:
                waiting.pop(0).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("step", choices=("first", "next", "restore", "alone"))
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--changes", type=Path)
    parser.add_argument("--sealed", action="store_true")
    chosen = parser.parse_args()
    began = time.perf_counter()
    if chosen.step == "alone":
        compress_alone(chosen.image)
    else:
        key = b"bench" if chosen.sealed else None
        run_step(chosen.step, chosen.repository, chosen.image, chosen.changes, key)
    print(f"{TELLS}{time.perf_counter() - began}")


if __name__ == "__main__":
    main()
