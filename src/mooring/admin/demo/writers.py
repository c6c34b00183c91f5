"""Writers as processes of their own, and the check of what they wrote."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mooring.admin.demo.records import JOURNAL_ENTRY, Journal, Verdict
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.client import NbdClient

CHUNK_BLOCKS = 1024


class Writers:
    """Processes that write checksummed records to a disk, each its own range of blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._journals: list[Path] = []
        self._ranges: list[range] = []

    def start(
        self,
        uri: str,
        blocks: range,
        *,
        rate: int = 0,
        in_flight: int = 16,
        strict: bool = False,
        durable: bool = False,
    ) -> None:
        """Start one. `rate` is in writes a second, 0 for as many as possible.

        A `strict` writer ends with an error when its connection breaks; one that is `durable`
        writes through all caches.
        """
        journal = self._folder / f"journal-{len(self._journals)}"
        command = [sys.executable, "-m", "mooring.admin.demo.writer", uri, str(journal)]
        command += ["--first", str(blocks.start), "--blocks", str(len(blocks))]
        command += ["--rate", str(rate), "--in-flight", str(in_flight)]
        command += ["--seed", str(len(self._journals))]
        command += ["--strict"] * strict + ["--durable"] * durable
        self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        self._journals.append(journal)
        self._ranges.append(blocks)

    @property
    def alive(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def written(self) -> int:
        """Records acknowledged so far, about."""
        sizes = [path.stat().st_size for path in self._journals if path.exists()]
        return sum(size // (2 * JOURNAL_ENTRY.itemsize) for size in sizes)

    def stop(self) -> bool:
        """End all; False if one had ended before, or ends badly."""
        well = self.alive
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                well = process.wait(30) == 0 and well
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                well = False
        self._processes.clear()
        return well

    def compare(self, uri: str, requested: float, replied: float) -> Verdict:
        """Check a disk restored from a snapshot that was asked for between these moments."""
        journal = Journal.read(self._journals)
        return journal.compare(self._blocks(uri), requested, replied)

    def _blocks(self, uri: str) -> Iterator[tuple[int, bytes]]:
        for blocks in self._ranges:
            for start in range(blocks.start, blocks.stop, CHUNK_BLOCKS):
                count = min(CHUNK_BLOCKS, blocks.stop - start)
                data = read(uri, start * BLOCK_SIZE, count * BLOCK_SIZE)
                for index in range(count):
                    yield start + index, data[index * BLOCK_SIZE : (index + 1) * BLOCK_SIZE]


def read(uri: str, offset: int, length: int) -> bytes:
    """Read a range of a disk over NBD."""

    async def ask() -> bytes:
        async with await NbdClient.connect(uri) as client:
            return await client.read(offset, length)

    return asyncio.run(ask())
