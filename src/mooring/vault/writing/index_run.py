"""One sorted run of the digest index: a file, or arrays in memory.

What a file holds, little-endian: `MOORINDX`, version 1 (4), zero (4), the numbers of segments and
of frames (8 each); of each segment its id and its claim (16 each), the oldest first; the first 8
bytes of the segments' ids, sorted; the first 8 bytes of the frames' digests, sorted; in the same
order where the frames are: number of the segment here << 16 | number of the frame. It has no digest
of its own: what it says is believed only after the frame has been read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mooring.files import appearing
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import ID_BYTES

_HEAD = struct.Struct("<8sIIQQ")
_MAGIC = b"MOORINDX"
_VERSION = 1
SUFFIX = ".run"


@dataclass(frozen=True, slots=True)
class Run:
    """`segments`: rows of id and claim; `known`: their prefixes, sorted; `keys` are sorted."""

    segments: Array
    known: Array
    keys: Array
    places: Array
    path: Path | None = None

    def find(self, key: np.uint64, limit: int) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield segment, frame and claim of up to `limit` frames with that key."""
        start = int(np.searchsorted(self.keys, key))
        for at in range(start, min(start + limit, len(self.keys))):
            if self.keys[at] != key:
                return
            place = int(self.places[at])
            row = self.segments[place >> 16].tobytes()
            yield row[:ID_BYTES], place & 0xFFFF, row[ID_BYTES:]


def prefixes(rows: Array) -> Array:
    """The first 8 bytes of ids, one in each row, as numbers."""
    return np.ascontiguousarray(rows[:, :8]).view("<u8").reshape(-1)


def open_run(path: Path) -> Run | None:
    """Map a run's file; None, and the file removed, if it is not one."""
    try:
        with path.open("rb") as file:
            magic, version, _, segments, frames = _HEAD.unpack(file.read(_HEAD.size))
        size = _HEAD.size + segments * (2 * ID_BYTES + 8) + frames * 16
        if magic == _MAGIC and version == _VERSION and path.stat().st_size == size:
            return _open(path, segments, frames)
    except (OSError, struct.error):
        pass
    with suppress(OSError):
        path.unlink()
    return None


def write_run(
    path: Path | None, segments: Array, keys: Array, places: Array, *, is_sorted: bool = False
) -> Run:
    """Make a run of frames in any order. Raises OSError."""
    order = slice(None) if is_sorted else np.argsort(keys, kind="stable")
    return _write(path, segments, len(keys), lambda: iter([(keys[order], places[order])]))


def merge(path: Path | None, old: Run, new: Run, gone: Array, limit: int, step: int) -> Run:
    """Make one run of two, with `step` frames in memory at a time. Raises OSError.

    Left out are the segments with a prefix in `gone`, and what exceeds `limit` frames of the oldest
    segments: these stay known.
    """
    rows = np.concatenate([old.segments, new.segments])
    kept = ~np.isin(prefixes(rows), gone)
    counts = np.zeros(len(rows), np.int64)
    for run, shift in ((old, 0), (new, len(old.segments))):
        for low in range(0, len(run.places), step):
            numbers = (run.places[low : low + step] >> np.uint64(16)).astype(np.int64)
            counts += np.bincount(numbers + shift, minlength=len(rows))
    counts[~kept] = 0
    wanted = kept & (np.cumsum(counts[::-1])[::-1] <= limit)
    numbers = np.cumsum(kept) - 1

    def parts() -> Iterator[tuple[Array, Array]]:
        for keys, places in _merged(old, new, step):
            segment = (places >> np.uint64(16)).astype(np.int64)
            chosen = wanted[segment]
            frames = places[chosen] & np.uint64(0xFFFF)
            yield keys[chosen], numbers[segment[chosen]].astype("<u8") << np.uint64(16) | frames

    return _write(path, rows[kept], int(counts[wanted].sum()), parts)


def _merged(old: Run, new: Run, step: int) -> Iterator[tuple[Array, Array]]:
    """Yield the frames of both, sorted, in parts; the second's segments counted on."""
    shift = np.uint64(len(old.segments) << 16)
    large, small = (old, new) if len(old.keys) >= len(new.keys) else (new, old)
    start = 0
    for low in range(0, max(len(large.keys), 1), step):
        high = min(low + step, len(large.keys))
        last = high == len(large.keys)
        end = len(small.keys) if last else int(np.searchsorted(small.keys, large.keys[high]))
        end = max(start, end)
        keys = np.concatenate([large.keys[low:high], small.keys[start:end]])
        places = [large.places[low:high], small.places[start:end]]
        places[0 if large is new else 1] = places[0 if large is new else 1] + shift
        order = np.argsort(keys, kind="stable")
        yield keys[order], np.concatenate(places)[order]
        start = end


def _write(
    path: Path | None,
    segments: Array,
    frames: int,
    parts: Callable[[], Iterator[tuple[Array, Array]]],
) -> Run:
    known = np.sort(prefixes(segments))
    if path is None:
        pieces = list(parts())
        keys = np.concatenate([piece[0] for piece in pieces])
        return Run(segments, known, keys, np.concatenate([piece[1] for piece in pieces]))
    with appearing(path, durable=False) as file:
        file.write(_HEAD.pack(_MAGIC, _VERSION, 0, len(segments), frames))
        file.write(segments.tobytes())
        file.write(known.tobytes())
        at = file.tell()
        for keys, places in parts():
            # Keys before places: a search touches only pages that are full of keys.
            file.seek(at)
            file.write(keys.tobytes())
            file.seek(at + frames * 8)
            file.write(places.tobytes())
            at += keys.nbytes
        file.truncate(_HEAD.size + len(segments) * (2 * ID_BYTES + 8) + frames * 16)
    return _open(path, len(segments), frames)


def _open(path: Path, segments: int, frames: int) -> Run:
    at = _HEAD.size
    ids = _map(path, "u1", at, segments * 2 * ID_BYTES).reshape(segments, 2 * ID_BYTES)
    at += ids.nbytes
    known = _map(path, "<u8", at, segments)
    at += known.nbytes
    keys = _map(path, "<u8", at, frames)
    return Run(ids, known, keys, _map(path, "<u8", at + keys.nbytes, frames), path)


def _map(path: Path, kind: str, offset: int, count: int) -> Array:
    if not count:
        return np.zeros(0, kind)
    return np.memmap(path, kind, "r", offset, (count,))
