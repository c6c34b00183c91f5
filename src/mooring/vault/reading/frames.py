"""Reads checked frames, tables and map pages out of segments, through caches."""

from __future__ import annotations

import numpy as np
from blake3 import blake3

from mooring.model.errors import DamageError, ObjectNotFoundError
from mooring.vault.format.cipher import Cipher, Clear
from mooring.vault.format.frame import Kind, unpack
from mooring.vault.format.layout import DIRECTORY_PAGES, PAGE_BLOCKS, segment_name
from mooring.vault.format.references import References, decode
from mooring.vault.format.segment_table import (
    GONE,
    TAIL_BYTES,
    FrameEntry,
    SegmentTable,
    ending_length,
    read_ending,
)
from mooring.vault.reading.cache import ByteCache
from mooring.vault.store.interface import Store

FRAME_CACHE_BYTES = 32 * 1024 * 1024
PAGE_CACHE_BYTES = 16 * 1024 * 1024
TABLE_CACHE_BYTES = 16 * 1024 * 1024

FrameKey = tuple[bytes, int]
"""A segment's id and the number of a frame in it."""


class Frames:
    """Every method raises DamageError with the segment and frame; StoreError passes through."""

    def __init__(self, store: Store, cipher: Cipher | None = None) -> None:
        self._store = store
        self.cipher = Clear() if cipher is None else cipher
        self._tables: ByteCache[bytes, SegmentTable] = ByteCache(TABLE_CACHE_BYTES)
        self._pages: ByteCache[FrameKey, References] = ByteCache(PAGE_CACHE_BYTES)
        self._data: ByteCache[FrameKey, bytes] = ByteCache(FRAME_CACHE_BYTES)

    def table(self, segment: bytes) -> SegmentTable:
        """The table of a segment."""
        table = self._tables.get(segment)
        return self.fresh_table(segment) if table is None else table

    def fresh_table(self, segment: bytes) -> SegmentTable:
        """The table of a segment as it is now: its frames may have come to other places."""
        try:
            table = self._load_table(segment)
        except DamageError as error:
            raise DamageError(f"segment {segment.hex()} is damaged: {error}") from error
        self._tables.put(segment, table, table.nbytes)
        return table

    def entry(self, key: FrameKey) -> FrameEntry:
        """Where the frame is and what its digests are."""
        return _entry(self.table(key[0]), key)

    def cached(self, key: FrameKey) -> bytes | None:
        """The data of a frame if it is at hand."""
        return self._data.get(key)

    def data(self, key: FrameKey) -> bytes:
        """The content of a frame of data."""
        content = self._data.get(key)
        if content is None:
            content = self.load(key, Kind.DATA)
            self._data.put(key, content, len(content))
        return content

    def page(self, key: FrameKey) -> References:
        """A page of the map: for each block, frame and block in the frame. Not to be changed."""
        return self._references(key, Kind.PAGE, PAGE_BLOCKS)

    def directory(self, key: FrameKey) -> References:
        """A directory: for each page of the map, its frame. Not to be changed."""
        return self._references(key, Kind.DIRECTORY, DIRECTORY_PAGES)

    def remember(self, key: FrameKey, kind: Kind, content: bytes) -> None:
        """Have a page or directory of a map at hand that has just been stored."""
        blocks = kind == Kind.PAGE
        length = PAGE_BLOCKS if blocks else DIRECTORY_PAGES
        found = decode(content, key[0], length, blocks=blocks)
        self._pages.put(key, found, found.nbytes)

    def load(self, key: FrameKey, kind: Kind) -> bytes:
        """The checked content of a frame, past the caches."""
        table, entry, stored = self._found(key)
        try:
            return self._open(table, entry, stored, kind)
        except DamageError as error:
            raise _damaged(key, error) from error

    def stored(self, key: FrameKey) -> bytes:
        """The checked bytes of a frame as they are stored, past the caches."""
        return self._found(key)[2]

    def _found(self, key: FrameKey) -> tuple[SegmentTable, FrameEntry, bytes]:
        """The table that names the frame, its entry there, and its checked bytes as stored."""
        segment = key[0]
        table = self.table(segment)
        while True:
            entry = _entry(table, key)
            try:
                return table, entry, self._stored(segment, entry)
            except DamageError as error:
                # Where a store cannot punch, a segment may have been written again meanwhile.
                fresh = self.fresh_table(segment)
                if np.array_equal(fresh.places, table.places):
                    raise _damaged(key, error) from error
                table = fresh

    def _references(self, key: FrameKey, kind: Kind, length: int) -> References:
        found = self._pages.get(key)
        if found is None:
            content = self.load(key, kind)
            try:
                found = decode(content, key[0], length, blocks=kind == Kind.PAGE)
            except DamageError as error:
                raise _damaged(key, error) from error
            self._pages.put(key, found, found.nbytes)
        return found

    def _load_table(self, segment: bytes) -> SegmentTable:
        name = segment_name(segment)
        try:
            tail, size = self._store.tail(name, TAIL_BYTES)
            length = ending_length(tail, size)
            if length > len(tail):
                tail, size = self._store.tail(name, length)
        except ObjectNotFoundError as error:
            raise DamageError("it is missing") from error
        return read_ending(tail[-length:], segment, size)

    def _stored(self, segment: bytes, entry: FrameEntry) -> bytes:
        if entry.offset == GONE:
            raise DamageError("it was reclaimed, because no snapshot needed it")
        try:
            stored = self._store.get(segment_name(segment), entry.offset, entry.stored)
        except ObjectNotFoundError as error:
            raise DamageError("its segment is missing") from error
        if blake3(stored).digest() != entry.stored_digest:
            raise DamageError("its stored bytes have another digest")
        return stored

    def _open(self, table: SegmentTable, entry: FrameEntry, stored: bytes, kind: Kind) -> bytes:
        """Return the content of checked stored bytes."""
        if entry.kind != kind:
            raise DamageError(f"it is of kind {entry.kind} instead of {int(kind)}")
        frames = self.cipher.of_claim(table.claim)
        codec, packed = frames.open(entry.kind, entry.codec, entry.plain, stored)
        return unpack(codec, entry.plain, packed, entry.content_digest, self.cipher)


def _entry(table: SegmentTable, key: FrameKey) -> FrameEntry:
    segment, frame = key
    try:
        return table.entry(frame)
    except DamageError as error:
        raise DamageError(f"segment {segment.hex()} is damaged: {error}") from error


def _damaged(key: FrameKey, error: DamageError) -> DamageError:
    return DamageError(f"segment {key[0].hex()}, frame {key[1]} is damaged: {error}")
