"""A writer over NBD that keeps a journal; run as a process."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from pathlib import Path

import numpy as np

from mooring.admin.demo.records import ACKNOWLEDGED, ISSUED, JOURNAL_ENTRY, record
from mooring.model.clock import SystemClock
from mooring.model.errors import NbdError
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.client import NbdClient

RECONNECT_SECONDS = 0.05
FLUSH_ENTRIES = 256


class Writer:
    """Writes records to random blocks of a range, several at a time, until told to stop.

    When the connection breaks, it connects again and repeats what was not acknowledged; a
    `strict` one fails instead. A `durable` one has each write acknowledged only when it would
    survive the end of the storage daemon.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._clock = SystemClock()
        self._uri: str = options.uri
        self._first: int = options.first
        self._free = list(range(options.first, options.first + options.blocks))
        self._random = random.Random(options.seed)
        self._in_flight: int = options.in_flight
        self._strict: bool = options.strict
        self._durable: bool = options.durable
        self._interval = options.in_flight / options.rate if options.rate else 0.0
        self._journal = Path(options.journal).open("ab", buffering=0)  # noqa: SIM115
        self._entries: list[tuple[int, int, int, float]] = []
        self._sequence = 0
        self._client: NbdClient | None = None
        self._connecting = asyncio.Lock()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Write until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await asyncio.gather(*[self._lane() for _ in range(self._in_flight)])
            if self._client is not None:
                await self._client.flush()
                await self._client.close()
        finally:
            self._save()
            self._journal.close()

    async def _lane(self) -> None:
        while not self._stop.is_set():
            block = self._free.pop(self._random.randrange(len(self._free)))
            self._sequence += 1
            sequence = self._sequence
            self._note(ISSUED, sequence, block)
            if await self._write(sequence, block):
                self._note(ACKNOWLEDGED, sequence, block)
            self._free.append(block)
            if self._interval:
                await asyncio.sleep(self._interval)

    async def _write(self, sequence: int, block: int) -> bool:
        """Write until acknowledged; False if told to stop while disconnected."""
        data = record(sequence, block)
        while True:
            client = await self._connected()
            if client is None:
                return False
            try:
                await client.write(block * BLOCK_SIZE, data, fua=self._durable)
                return True
            except NbdError:
                if self._strict:
                    raise
                if self._client is client:
                    self._client = None
                    await client.close()

    async def _connected(self) -> NbdClient | None:
        async with self._connecting:
            while self._client is None and not self._stop.is_set():
                try:
                    self._client = await NbdClient.connect(self._uri)
                except NbdError:
                    await asyncio.sleep(RECONNECT_SECONDS)
            return self._client

    def _note(self, kind: int, sequence: int, block: int) -> None:
        self._entries.append((kind, sequence, block, self._clock.monotonic()))
        if len(self._entries) >= FLUSH_ENTRIES:
            self._save()

    def _save(self) -> None:
        self._journal.write(np.array(self._entries, JOURNAL_ENTRY).tobytes())
        self._entries.clear()


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", help="NBD URI of the disk")
    parser.add_argument("journal", help="file to append the journal to")
    parser.add_argument("--first", type=int, default=0, help="first block")
    parser.add_argument("--blocks", type=int, default=65536, help="how many blocks")
    parser.add_argument("--in-flight", type=int, default=16, help="writes at a time")
    parser.add_argument("--rate", type=float, default=0, help="writes a second at most; 0: all")
    parser.add_argument("--strict", action="store_true", help="fail when the connection breaks")
    parser.add_argument("--durable", action="store_true", help="write through all caches")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    async def write() -> None:
        await Writer(options).run()

    asyncio.run(write())


if __name__ == "__main__":
    main()
