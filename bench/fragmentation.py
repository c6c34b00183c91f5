"""Measures what hundreds of snapshots do to reading the latest one.

    .venv/bin/python -m bench.fragmentation --limits 0 64 --data random mixed

A disk of random bytes, or of system files, is written at random, 1 % of its 4 KiB blocks before
each snapshot. For each limit (`vault.consolidate_frames`) it prints what the snapshots stored in
proportion to what changed (before compression), and how long reading the latest takes in
proportion to a fresh one, as medians of reads in turn; the worst of some moments on the way.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.vault import make_image
from bench.vault_step import info
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions

CHUNK = 4 * 1024 * 1024
MIB = 1024 * 1024


def main() -> None:
    """Measure each limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size-mib", type=int, default=256)
    parser.add_argument("--snapshots", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limits", type=int, nargs="+", default=[0, 64])
    parser.add_argument("--data", choices=["random", "mixed"], nargs="+", default=["random"])
    arguments = parser.parse_args()
    for kind in arguments.data:
        for limit in arguments.limits:
            with tempfile.TemporaryDirectory() as folder:
                content = Content(Path(folder) / "image", kind, arguments.size_mib * MIB)
                store = DirectoryStore(Path(folder) / "vault")
                ratios = fill(store, limit, content, arguments.snapshots)
                told = [
                    compare(store, f"s{number}", arguments.rounds)
                    for number in moments(arguments.snapshots)
                ]
            seconds, cpu = told[-1]
            print(
                f"{kind}, consolidate_frames {limit}: stored {statistics.mean(ratios):.2f} x "
                f"changed, at most {max(ratios):.2f} x; read {seconds:.1f} x the time, {cpu:.1f} x "
                f"the CPU of a fresh, at most {max(one for one, _ in told):.1f} x and "
                f"{max(one for _, one in told):.1f} x before",
                flush=True,
            )


def moments(snapshots: int) -> list[int]:
    """The snapshots that are read: the last one and some in the second half before it."""
    return list(range(snapshots // 2, snapshots + 1, max(1, snapshots // 10)))


class Content:
    """What is on a disk, and what is written to it later."""

    def __init__(self, image: Path, kind: str, size: int) -> None:
        make_image(image, kind, 2 * size)
        with image.open("rb") as file:
            self.disk = bytearray(file.read(size))
            self._later = file.read(size)
        image.unlink()

    def block(self, rng: random.Random) -> bytes:
        at = rng.randrange(len(self._later) // BLOCK_SIZE) * BLOCK_SIZE
        return self._later[at : at + BLOCK_SIZE]


def fill(store: DirectoryStore, limit: int, content: Content, snapshots: int) -> list[float]:
    """Make the snapshots, and a fresh one; return stored in proportion to changed of each."""
    rng = random.Random(5)
    disk, size = content.disk, len(content.disk)
    ratios = []

    with Vault.create_or_open(
        store, SystemClock(), VaultOptions(consolidate_frames=limit, index_bytes=0)
    ) as vault:

        def save(name: str, parent: str | None, extents: Iterable[Extent]) -> int:
            with vault.begin(info(name, size), parent) as writer:
                for extent, again in writer.consolidated(extents):
                    put = writer.write_again if again else writer.write
                    put(extent.offset, bytes(disk[extent.offset : extent.end]))
                return writer.commit().statistics.stored_bytes

        save("s0", None, _chunks(size))
        for number in range(1, snapshots + 1):
            blocks = sorted(rng.sample(range(size // BLOCK_SIZE), size // BLOCK_SIZE // 100))
            for block in blocks:
                disk[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE] = content.block(rng)
            changes = [Extent(block * BLOCK_SIZE, BLOCK_SIZE) for block in blocks]
            stored = save(f"s{number}", f"s{number - 1}", changes)
            ratios.append(stored / (len(blocks) * BLOCK_SIZE))
        save("fresh", None, _chunks(size))
    return ratios


def compare(store: DirectoryStore, name: str, rounds: int) -> tuple[float, float]:
    """Return how many times the seconds, and the CPU, reading takes of what it does of a fresh."""
    reads: dict[str, list[tuple[float, float]]] = {name: [], "fresh": []}
    for _ in range(rounds):
        for one, times in reads.items():
            times.append(read(store, one))
    seconds, cpu = (
        statistics.median(one[i] for one in reads[name])
        / statistics.median(one[i] for one in reads["fresh"])
        for i in (0, 1)
    )
    return seconds, cpu


def read(store: DirectoryStore, name: str) -> tuple[float, float]:
    """Read a snapshot in full with a new vault; return seconds and seconds of CPU."""
    with Vault.create_or_open(store, SystemClock(), VaultOptions(index_bytes=0)) as vault:
        began, cpu = time.perf_counter(), time.process_time()
        with vault.open(name) as reader:
            for offset in range(0, reader.size, CHUNK):
                reader.read(offset, min(CHUNK, reader.size - offset))
        return time.perf_counter() - began, time.process_time() - cpu


def _chunks(size: int) -> Iterator[Extent]:
    return (Extent(offset, min(CHUNK, size - offset)) for offset in range(0, size, CHUNK))


if __name__ == "__main__":
    main()
