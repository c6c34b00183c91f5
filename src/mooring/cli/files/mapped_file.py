"""A file whose parts are scattered over a disk; the rest is zeros."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mooring.cli.files.export_stream import ExportStream
from mooring.model.errors import UnreadableFileError


@dataclass(frozen=True)
class Run:
    """A part of a file that lies in one piece: where in the file, where on the disk, in bytes."""

    at: int
    place: int
    length: int

    @property
    def end(self) -> int:
        return self.at + self.length


class MappedFile:
    """Reads by runs. Raises UnreadableFileError for runs that cannot be true."""

    def __init__(self, stream: ExportStream, runs: Iterable[Run], size: int) -> None:
        self.size = size
        self._stream = stream
        self._runs = merged(runs)
        for before, after in zip(self._runs, self._runs[1:], strict=False):
            if after.at < before.end:
                raise UnreadableFileError("is damaged: two parts of it overlap")
        for run in self._runs:
            if run.length <= 0 or run.at < 0 or run.place <= 0:
                raise UnreadableFileError("is damaged: it claims to be where nothing can be")
            if run.place + run.length > stream.size:
                raise UnreadableFileError("is damaged: part of it lies beyond the end of the disk")
        self._starts = [run.at for run in self._runs]
        self._at = 0

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Begin and end of what may be other than zeros."""
        for run in self._runs:
            if run.at < self.size:
                yield run.at, min(run.end, self.size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes, fewer only at the end. Raises NbdError, UnreadableFileError."""
        end = self.size if count < 0 else min(self._at + count, self.size)
        parts = []
        index = max(0, bisect_right(self._starts, self._at) - 1)
        while self._at < end:
            while index < len(self._runs) and self._runs[index].end <= self._at:
                index += 1
            run = self._runs[index] if index < len(self._runs) else None
            if run is None or run.at > self._at:
                upto = end if run is None else min(end, run.at)
                parts.append(bytes(upto - self._at))
                self._at = upto
                continue
            wanted = min(end, run.end) - self._at
            self._stream.seek(run.place + self._at - run.at)
            part = self._stream.read(wanted)
            if len(part) < wanted:
                raise UnreadableFileError("is damaged: part of it lies beyond the end of the disk")
            parts.append(part)
            self._at += wanted
        return b"".join(parts)


def merged(runs: Iterable[Run]) -> list[Run]:
    """Runs that follow each other both in the file and on the disk become one."""
    found: list[Run] = []
    for run in runs:
        last = found[-1] if found else None
        if last and run.at == last.end and run.place == last.place + last.length:
            found[-1] = Run(last.at, last.place, last.length + run.length)
        else:
            found.append(run)
    return found
