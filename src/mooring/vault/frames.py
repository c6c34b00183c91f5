"""Reads checked frames, tables and map pages out of segments, through caches."""

from __future__ import annotations

from blake3 import blake3

from mooring.model.errors import DamageError, ObjectNotFoundError
from mooring.vault.cache import ByteCache
from mooring.vault.cipher import Cipher, Clear
from mooring.vault.frame import Kind, unpack
from mooring.vault.layout import DIRECTORY_PAGES, PAGE_BLOCKS, segment_name
from mooring.vault.references import References, decode
from mooring.vault.segment_table import (
    END,
    TAIL_BYTES,
    FrameEntry,
    SegmentTable,
    read_table,
    table_length,
)
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
        if table is None:
            try:
                table = self._load_table(segment)
            except DamageError as error:
                raise DamageError(f"segment {segment.hex()} is damaged: {error}") from error
            self._tables.put(segment, table, table.nbytes)
        return table

    def entry(self, key: FrameKey) -> FrameEntry:
        """Where the frame is and what its digests are."""
        segment, frame = key
        table = self.table(segment)
        try:
            return table.entry(frame)
        except DamageError as error:
            raise DamageError(f"segment {segment.hex()} is damaged: {error}") from error

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

    def load(self, key: FrameKey, kind: Kind) -> bytes:
        """The checked content of a frame, past the caches."""
        segment, number = key
        entry = self.entry(key)
        try:
            stored = self._store.get(segment_name(segment), entry.offset, entry.stored)
        except ObjectNotFoundError as error:
            raise DamageError(f"segment {segment.hex()} is missing") from error
        try:
            return self._check(segment, entry, stored, kind)
        except DamageError as error:
            message = f"segment {segment.hex()}, frame {number} is damaged: {error}"
            raise DamageError(message) from error

    def _references(self, key: FrameKey, kind: Kind, length: int) -> References:
        found = self._pages.get(key)
        if found is None:
            content = self.load(key, kind)
            try:
                found = decode(content, key[0], length, blocks=kind == Kind.PAGE)
            except DamageError as error:
                message = f"segment {key[0].hex()}, frame {key[1]} is damaged: {error}"
                raise DamageError(message) from error
            self._pages.put(key, found, found.nbytes)
        return found

    def _load_table(self, segment: bytes) -> SegmentTable:
        name = segment_name(segment)
        try:
            tail, size = self._store.tail(name, TAIL_BYTES)
            length = table_length(tail, size)
            if length + END.size > len(tail):
                tail, size = self._store.tail(name, length + END.size)
        except ObjectNotFoundError as error:
            raise DamageError("it is missing") from error
        return read_table(tail[-END.size - length : -END.size], segment, size)

    def _check(self, segment: bytes, entry: FrameEntry, stored: bytes, kind: Kind) -> bytes:
        """Check stored bytes and return the content."""
        if blake3(stored).digest() != entry.stored_digest:
            raise DamageError("its stored bytes have another digest")
        if entry.kind != kind:
            raise DamageError(f"it is of kind {entry.kind} instead of {int(kind)}")
        frames = self.cipher.of_claim(self.table(segment).claim)
        codec, packed = frames.open(entry.kind, entry.codec, entry.plain, stored)
        return unpack(codec, entry.plain, packed, entry.content_digest, self.cipher)
