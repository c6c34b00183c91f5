"""The table at a segment's end, whose digest is the segment's name."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from mooring.model.counts import counted
from mooring.model.errors import DamageError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.blocks import Array
from mooring.vault.format.frame import Kind, PackedFrame
from mooring.vault.format.layout import DIGEST_BYTES, FRAME_BYTES, ID_BYTES, SEGMENT_FRAMES, VERSION

START = struct.Struct("<8sII")
"""At offset 0: magic, version, zero."""

END = struct.Struct("<II8s")
"""The last bytes: length of the table, form, magic."""

WHOLE, THINNED = 0, 1
"""Forms: all frames, at the places that the table tells; or some, where a list says."""

GONE = -1
"""The place of a frame that a thinned segment does not have any more."""

START_MAGIC = b"MOORSEGM"
END_MAGIC = b"MOORSEGE"
TABLE_MAGIC = b"MOORTABL"
TAIL_BYTES = 32 * 1024
"""What is read first from the end of a segment: it holds most tables whole."""

SHARED_ABOVE_BYTES = 16 * BLOCK_SIZE
"""Frames of data with more content than that are worth finding again.

Smaller ones were gathered from scattered writes: the same blocks will hardly meet again. Those of
larger ones that were gathered too are not told apart by the table, only by their writer.
"""

_HEAD = struct.Struct("<8sII16sQQ")
_ENTRY = np.dtype(
    [
        ("offset", "<u4"),
        ("stored", "<u4"),
        ("plain", "<u4"),
        ("kind", "u1"),
        ("codec", "u1"),
        ("zero", "<u2"),
        ("content", "u1", (DIGEST_BYTES,)),
        ("digest", "u1", (DIGEST_BYTES,)),
    ]
)
_ROW = struct.Struct("<IIIBBH32s32s")
_PLACE_GONE = 0xFFFFFFFF
MAX_TABLE_BYTES = _HEAD.size + SEGMENT_FRAMES * _ENTRY.itemsize


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """Where a frame is within its segment, and what it must be. `offset` may be GONE."""

    offset: int
    stored: int
    plain: int
    kind: int
    codec: int
    content_digest: bytes
    stored_digest: bytes


class SegmentTable:
    """The frames of one segment. `claim` is the id under which it was written.

    `places` says where they are now, in bytes from the segment's begin, or GONE; `size` is that of
    the whole segment.
    """

    __slots__ = ("_entries", "claim", "created_ms", "ordinal", "places", "raw", "size")

    def __init__(
        self,
        raw: bytes,
        entries: Array,
        places: Array | None,
        claim: bytes,
        ordinal: int,
        ms: int,
        size: int,
    ) -> None:
        self.raw = raw
        self.size = size
        self._entries = entries
        self.places: Array = self.written_places if places is None else places
        self.claim = claim
        self.ordinal = ordinal
        self.created_ms = ms

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Memory that the table takes."""
        return self._entries.nbytes + self.places.nbytes + 200

    @property
    def stored_bytes(self) -> Array:
        """Of each frame, the bytes that it takes in the segment, or took."""
        return self._entries["stored"].astype(np.int64)

    @property
    def written_places(self) -> Array:
        """Where the frames were when the segment was written: all of them, in their order."""
        return self._entries["offset"].astype(np.int64)

    @property
    def kinds(self) -> Array:
        return self._entries["kind"]

    def ending(self, places: Array) -> bytes:
        """What ends the segment when its frames are at these places."""
        if np.array_equal(places, self._entries["offset"]):
            return self.raw + END.pack(len(self.raw), WHOLE, END_MAGIC)
        listed = np.where(places == GONE, _PLACE_GONE, places).astype("<u4").tobytes()
        end = END.pack(len(self.raw), THINNED, END_MAGIC)
        return self.raw + listed + _places_digest(self.raw, listed) + end

    def shareable(self) -> tuple[Array, Array]:
        """The numbers of the frames worth finding again, and 8 bytes of their contents' digests."""
        there = (self._entries["kind"] == Kind.DATA) & (self.places != GONE)
        chosen = np.flatnonzero(there & (self._entries["plain"] > SHARED_ABOVE_BYTES))
        digests = np.ascontiguousarray(self._entries["content"][chosen, :8])
        return chosen, digests.view("<u8").reshape(-1)

    def entry(self, frame: int) -> FrameEntry:
        """The entry of a frame. Raises DamageError if there is no such frame."""
        if frame >= len(self._entries):
            count = counted(len(self._entries), "frame")
            raise DamageError(f"it has {count}, and no frame {frame}")
        place = _HEAD.size + frame * _ROW.size
        _, stored, plain, kind, codec, _, content, digest = _ROW.unpack_from(self.raw, place)
        offset = int(self.places[frame])
        return FrameEntry(offset, stored, plain, kind, codec, content, digest)


class TableBuilder:
    """Collects the entries of a segment that is being written."""

    def __init__(self, claim: bytes, ordinal: int, created_ms: int) -> None:
        self._rows: list[bytes] = []
        self._claim = claim
        self._ordinal = ordinal
        self._created_ms = created_ms
        self.end = START.size

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, frame: PackedFrame) -> int:
        """Note a frame that is appended now; return its number."""
        stored = len(frame.stored)
        self._rows.append(
            _ROW.pack(
                self.end,
                stored,
                frame.plain,
                frame.kind,
                frame.codec,
                0,
                frame.content_digest,
                frame.stored_digest,
            )
        )
        self.end += stored
        return len(self._rows) - 1

    def finish(self) -> tuple[bytes, bytes]:
        """Return the segment's id and the bytes that end it.

        The claim and the ordinal make the id unique even for equal content: a segment that
        the collector is about to delete can never be the one that a writer has just made.
        """
        head = _HEAD.pack(
            TABLE_MAGIC,
            VERSION,
            len(self._rows),
            self._claim,
            self._ordinal,
            self._created_ms,
        )
        table = head + b"".join(self._rows)
        return identify(table), table + END.pack(len(table), WHOLE, END_MAGIC)


def start_bytes() -> bytes:
    """What a segment begins with."""
    return START.pack(START_MAGIC, VERSION, 0)


def identify(table: bytes) -> bytes:
    """The id of the segment with this table."""
    return blake3(table).digest(length=ID_BYTES)


def ending_length(tail: bytes, size: int) -> int:
    """How many of a segment's `size` bytes follow its frames, from its last bytes.

    Raises DamageError.
    """
    if len(tail) < END.size:
        raise DamageError(f"it has only {size} bytes")
    length, form, magic = END.unpack_from(tail, len(tail) - END.size)
    if magic != END_MAGIC:
        raise DamageError("its end is not that of a segment")
    if form not in (WHOLE, THINNED):
        raise DamageError(f"its form {form} is not one that this Mooring reads")
    count, rest = divmod(length - _HEAD.size, _ENTRY.itemsize)
    ending = length + END.size + (form == THINNED) * (4 * count + DIGEST_BYTES)
    if count < 0 or rest or length > MAX_TABLE_BYTES or ending > size - START.size:
        raise DamageError(f"its table cannot have {length} bytes")
    return int(ending)


def read_ending(ending: bytes, segment_id: bytes, size: int) -> SegmentTable:
    """Check and open the table of a segment of `size` bytes, from all that follows its frames.

    Raises DamageError, or VaultError if the version is another.
    """
    length, form, _ = END.unpack_from(ending, len(ending) - END.size)
    table = ending[:length]
    if identify(table) != segment_id:
        raise DamageError("its table has another digest")
    magic, version, count, claim, ordinal, created_ms = _HEAD.unpack_from(table)
    if version != VERSION:
        raise VaultError(
            f"segment {segment_id.hex()} has format version {version}; this Mooring reads {VERSION}"
        )
    if magic != TABLE_MAGIC or len(table) != _HEAD.size + count * _ENTRY.itemsize:
        raise DamageError("its table has a wrong shape")
    entries = np.frombuffer(table, _ENTRY, count, _HEAD.size)
    places = None if form == WHOLE else _read_places(table, ending[length : -END.size])
    found = SegmentTable(table, entries, places, claim, ordinal, created_ms, size)
    there = found.places != GONE
    ends = (found.places + found.stored_bytes)[there]
    if count and (
        int(ends.max(initial=0)) > size - len(ending)
        or int(entries["plain"].max()) > FRAME_BYTES
        or int(entries["kind"].max()) > max(Kind)
    ):
        raise DamageError("its table names frames outside of it")
    return found


def _read_places(table: bytes, listed: bytes) -> Array:
    if _places_digest(table, listed[:-DIGEST_BYTES]) != listed[-DIGEST_BYTES:]:
        raise DamageError("its list of places has another digest")
    places = np.frombuffer(listed[:-DIGEST_BYTES], "<u4").astype(np.int64)
    places[places == _PLACE_GONE] = GONE
    return places


def _places_digest(table: bytes, listed: bytes) -> bytes:
    """Of the segment's id too: the list of one segment is none of another's."""
    return blake3(identify(table) + listed).digest()
