"""A soak's writers: each changes one part of one disk at random."""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.soak_model import ZEROS, Change, History, Kill, Sequences
from mooring.admin.demo.records import record, sequence_of
from mooring.model.errors import NbdError
from mooring.model.extents import BLOCK_SIZE, Image
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.processes import until

PART = 1024
"""Blocks of a part."""

_PAUSE = 0.004


class SoakError(Exception):
    """Something is not as it must be."""


@dataclass
class Growth:
    """A growth of a disk, which cuts its writers off once."""

    disk: str
    begun: float
    ended: float = math.inf


@dataclass
class Stage:
    """What all writers of a soak share."""

    fail: Callable[[str], None]
    uris: dict[str, str] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)

    def kills_after(self, moment: float) -> bool:
        return any(kill.ended > moment for kill in self.kills)

    def grown_after(self, disk: str, moment: float) -> bool:
        return any(one.disk == disk and one.ended > moment for one in self.growths)


class Part:
    """A writer of one part of one disk, which comes back when it is cut off."""

    def __init__(self, stage: Stage, disk: str, start: int, seed: int) -> None:
        self.stage, self.disk = stage, disk
        self.history = History(start, PART, stage.kills)
        self.gate = threading.Lock()
        self.cut_off = True
        """Whether it has lost its connection for a reason that is known."""
        self._random = random.Random(seed)
        self._client: BlockingNbdClient | None = None
        self._sequence = 0
        self._thread = threading.Thread(target=self._run, name=f"{disk}-{start}")

    def begin(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        self.leave()

    def leave(self) -> None:
        """Flush, and drop the connection. The caller holds the gate, or it has ended."""
        if self._client is not None:
            with contextlib.suppress(NbdError):
                self._flush(self._client)
            self._client.close()
            self._client = None
            self.cut_off = True

    def _run(self) -> None:
        try:
            while not self.stage.stopping.wait(self._random.random() * 2 * _PAUSE):
                with self.gate:
                    self._step()
            with self.gate:
                until(self._connected, f"a connection to {self.disk}")
                self._reread()
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.stage.fail(f"the writer of {self.disk}: {error!r}")

    def _step(self) -> None:
        if self._client is None:
            until(self._connected, f"a connection to {self.disk}")
            self._reread()
            return
        try:
            self._change(self._client)
        except NbdError as error:
            grown = self.stage.grown_after(self.disk, self._began)
            if not (self.cut_off or grown or self.stage.kills_after(self._began)):
                raise SoakError(f"without a kill or a growth: {error}") from error
            with contextlib.suppress(NbdError):
                self._client.close()
            self._client = None

    def _connected(self) -> bool:
        if self._client is None:
            with contextlib.suppress(NbdError):
                self._began = time.monotonic()
                self._client = BlockingNbdClient(self.stage.uris[self.disk])
                self.cut_off = False
        return self._client is not None

    def _reread(self) -> None:
        """Learn what became of the writes that were not flushed when the connection broke."""
        assert self._client is not None
        now = time.monotonic()
        try:
            found = sequences(self._client, self.history)
            wrong = self.history.wrong(found, now, now)
            if wrong:
                raise SoakError(f"the disk itself is wrong: {wrong[:5]}")
            change = self.history.add(Change(0, PART, -1, now, found=found))
            change.acknowledged = time.monotonic()
            self._flush(self._client)
        except NbdError:
            self._client.close()
            self._client = None

    def _change(self, client: BlockingNbdClient) -> None:
        count = min(PART, self._random.choice((1, 1, 1, 2, 3, 8, 40)))
        first = self._random.randrange(PART - count + 1)
        offset, length = (self.history.start + first) * BLOCK_SIZE, count * BLOCK_SIZE
        kind = self._random.choices(("write", "zero", "trim", "flush"), (60, 12, 8, 20))[0]
        self.stage.counts[kind] += 1
        if kind == "flush":
            self._flush(client)
            return
        self._sequence += 1
        sequence = self._sequence if kind == "write" else ZEROS
        change = Change(first, count, sequence, time.monotonic(), kind == "trim")
        self.history.add(change)
        if kind == "write":
            numbers = range(self.history.start + first, self.history.start + first + count)
            client.write(offset, b"".join(record(sequence, number) for number in numbers))
        elif kind == "zero":
            client.write_zeroes(offset, length, punch=self._random.random() < 0.5)
        else:
            client.trim(offset, length)
        change.acknowledged = time.monotonic()

    def _flush(self, client: BlockingNbdClient) -> None:
        asked = time.monotonic()
        client.flush()
        self.history.flushed(asked, time.monotonic())


def sequences(image: Image | BlockingNbdClient, history: History) -> Sequences:
    """Which write each block of a part holds."""
    data = bytes(image.read(history.start * BLOCK_SIZE, history.count * BLOCK_SIZE))
    return np.array(
        [
            sequence_of(data[n * BLOCK_SIZE : (n + 1) * BLOCK_SIZE], history.start + n)
            for n in range(history.count)
        ],
        np.int64,
    )
