"""The overlay format: qcow2 files, made empty and read by table.

Only what an overlay needs, after QEMU's docs/interop/qcow2.txt: version 3, clusters of 128 KiB
with extended L2 entries, thus 32 subclusters of 4 KiB, and no compression, encryption, internal
snapshots or external data. docs/formats/layers.md says which choices are ours.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mooring.engine.qemu.layers.layer import Layer
from mooring.engine.qemu.stores.store import LayerFile
from mooring.model.errors import EngineError, LayerDamagedError
from mooring.model.extents import BLOCK_SIZE

CLUSTER_BITS = 17
CLUSTER = 1 << CLUSTER_BITS
SUBCLUSTERS = 32
TABLE_ENTRIES = CLUSTER // 16
WINDOW = TABLE_ENTRIES * CLUSTER
"""Bytes of disk that one L2 table describes: 1 GiB."""
WINDOW_BLOCKS = WINDOW // BLOCK_SIZE

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_HEADER_LENGTH = 112
_HEADER_BYTES = 4096
"""What is read of the header's cluster: all that QEMU or we put there."""
_EXTENDED_L2 = 1 << 4
_DIRTY_OR_CORRUPT = 0b11
_FORMAT_EXTENSION = 0xE2792ACA
_IDENTITY_EXTENSION = 0x4D4F4F52  # "MOOR"
_BELOW_EXTENSION = 0x4D4F4F53
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62

UNALLOCATED = 0
DATA = 1
ZERO = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What an overlay says of itself."""

    size: int
    table_count: int
    tables_offset: int
    backing: str
    disk_id: str
    point_id: str
    below: int | None
    """The least bytes of the layer below; None if that is not written down."""


def write_empty(
    file: LayerFile, size: int, backing: str, disk_id: str, point_id: str, *, below: int
) -> None:
    """Write an overlay that holds nothing into the empty file.

    `backing` is the name of the layer below, in the same directory, and `below` its size. The
    file is laid out as header, refcount table, refcount block, L1 table, one cluster each (the
    L1 table of a disk above 16 TiB has more). The identity and `below` go into header extensions
    of our own, which QEMU keeps when it rewrites the header.
    """
    tables = -(-size // WINDOW)
    table_clusters = -(-tables * 8 // CLUSTER)
    name = backing.encode()
    identity = uuid.UUID(disk_id).bytes + uuid.UUID(point_id).bytes
    extensions = (
        _extension(_FORMAT_EXTENSION, _format_of(backing))
        + _extension(_IDENTITY_EXTENSION, identity)
        + _extension(_BELOW_EXTENSION, struct.pack(">Q", below))
        + bytes(8)
    )
    header = _HEADER.pack(
        _MAGIC, 3, _HEADER_LENGTH + len(extensions), len(name), CLUSTER_BITS, size, 0, tables,
        3 * CLUSTER, CLUSTER, 1, 0, 0, _EXTENDED_L2, 0, 0, 4, _HEADER_LENGTH,
    )  # fmt: skip
    file.resize((3 + table_clusters) * CLUSTER)
    file.write(0, header.ljust(_HEADER_LENGTH, b"\0") + extensions + name)
    file.write(CLUSTER, struct.pack(">Q", 2 * CLUSTER))
    file.write(2 * CLUSTER, struct.pack(">H", 1) * (3 + table_clusters))


def read_header(layer: Layer) -> Header:
    """What an overlay says of itself. Raises LayerDamagedError, EngineError."""
    overlay = Overlay(layer)
    overlay.close()
    return overlay.header


def lies_on(layer: Layer) -> str:
    """The name of the layer that an overlay lies on. Raises LayerDamagedError."""
    return read_header(layer).backing


def lay_on(layer: Layer, backing: str) -> None:
    """Make the header say, durably, that the overlay lies on another layer.

    The file may be in use: QEMU does not read the header again, and writes it only when told
    to change what we change here. Raises LayerDamagedError.
    """
    if lies_on(layer) == backing:
        return
    file = layer.store.open(layer.path, write=True)
    try:
        raw = bytearray(file.read(0, _HEADER_BYTES))
        name_offset, name_length = struct.unpack_from(">QI", raw, 8)
        name, kind = backing.encode(), _format_of(backing)
        place = _find_extension(raw, _FORMAT_EXTENSION)
        if len(name) > name_length or place is None or place.stop - place.start < len(kind):
            raise LayerDamagedError(f"layer {layer.path} has no space in its header for {backing}")
        struct.pack_into(">I", raw, 16, len(name))
        raw[name_offset : name_offset + name_length] = name.ljust(name_length, b"\0")
        # The padding to 8 bytes stays the same for both formats.
        struct.pack_into(">I", raw, place.start - 4, len(kind))
        raw[place.start : place.stop] = kind.ljust(place.stop - place.start, b"\0")
        file.overwrite(0, raw)
    finally:
        file.close()


def belong_to(file: LayerFile, disk_id: str) -> None:
    """Make the header of a file that nobody uses say that the overlay is that disk's.

    Raises LayerDamagedError, OSError.
    """
    place = _find_extension(file.read(0, _HEADER_BYTES), _IDENTITY_EXTENSION)
    if place is None:
        raise LayerDamagedError("a layer that was copied is a qcow2 file, but not one of ours")
    file.write(place.start, uuid.UUID(disk_id).bytes)


def _format_of(name: str) -> bytes:
    return b"qcow2" if name.endswith(".qcow2") else b"raw"


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def _unreadable(layer: Layer, error: OSError) -> EngineError:
    """A shortage or a fault of the file system, which may pass: not damage."""
    return EngineError(f"layer {layer.path} cannot be read: {error.strerror or error}")


class Overlay:
    """One overlay file, open for reading by table. Not bound to one thread."""

    def __init__(self, layer: Layer) -> None:
        """Open and check the header. Raises LayerDamagedError, EngineError if it is unreadable."""
        self.path = layer.path
        try:
            self.file = layer.store.open(layer.path)
        except FileNotFoundError as error:
            raise LayerDamagedError(f"layer {layer.path} is missing") from error
        except OSError as error:
            raise _unreadable(layer, error) from error
        try:
            self.header = self._read_header()
            self._tables = self._read_tables()
        except OSError as error:
            self.close()
            raise _unreadable(layer, error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        self.file.close()

    def windows(self) -> list[int]:
        """The numbers of the windows of which the overlay holds anything, ascending."""
        return [int(number) for number in np.flatnonzero(self._tables)]

    def window(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
        """Say for each block of a window where it is.

        Returns None if the overlay holds nothing of it, else two arrays of WINDOW_BLOCKS:
        UNALLOCATED, DATA or ZERO, and for DATA the offset in the file. Blocks past the end of
        the disk are UNALLOCATED. Raises LayerDamagedError.
        """
        if number >= len(self._tables) or not self._tables[number]:
            return None
        raw = self._pread(CLUSTER, int(self._tables[number]), "an L2 table")
        entries = np.frombuffer(raw, dtype=">u8").reshape(-1, 2).astype(np.uint64)
        used = np.flatnonzero(entries[:, 1])
        state = np.zeros((TABLE_ENTRIES, SUBCLUSTERS), dtype=np.uint8)
        place = np.zeros((TABLE_ENTRIES, SUBCLUSTERS), dtype=np.int64)
        if len(used):
            self._decode(entries[used], used, state, place)
        return state.reshape(-1), place.reshape(-1)

    def _decode(
        self,
        entries: NDArray[np.uint64],
        used: NDArray[np.intp],
        state: NDArray[np.uint8],
        place: NDArray[np.int64],
    ) -> None:
        if np.any(entries[:, 0] & np.uint64(_COMPRESSED)):
            raise LayerDamagedError(f"layer {self.path} holds compressed clusters")
        # The low half of the second word says which subclusters are allocated, the high half
        # which read as zeros.
        words = np.ascontiguousarray(entries[:, 1].astype("<u8"))
        bits = np.unpackbits(words.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
        data, zero = bits[:, :SUBCLUSTERS], bits[:, SUBCLUSTERS:]
        hosts = (entries[:, 0] & np.uint64(_OFFSET_MASK)).astype(np.int64)
        if np.any(data & zero) or np.any(hosts % CLUSTER):
            raise LayerDamagedError(f"layer {self.path} has a broken L2 table")
        places = hosts[:, None] + np.arange(SUBCLUSTERS, dtype=np.int64) * BLOCK_SIZE
        highest = int(np.max(places, initial=0, where=data.astype(bool)))
        if np.any((hosts == 0) & data.any(axis=1)):
            raise LayerDamagedError(f"layer {self.path} has a broken L2 table")
        length = self.file.size()
        if highest + BLOCK_SIZE > length and highest:
            raise LayerDamagedError(
                f"layer {self.path} is truncated: it has {length} bytes "
                f"but refers to data at {highest}"
            )
        state[used] = data * DATA + zero * ZERO
        place[used] = places

    def _read_header(self) -> Header:
        raw = self.file.read(0, _HEADER_BYTES)
        if len(raw) < _HEADER_LENGTH or raw[:4] != _MAGIC:
            raise LayerDamagedError(f"layer {self.path} is not a qcow2 file")
        fields = _HEADER.unpack_from(raw)
        (_, version, name_offset, name_length, cluster_bits, size, crypt, table_count,
         tables_offset, _, _, snapshots, _, incompatible, *_) = fields  # fmt: skip
        if incompatible & _DIRTY_OR_CORRUPT:
            raise LayerDamagedError(f"layer {self.path} is marked as damaged: run qemu-img check")
        if (version, cluster_bits, crypt, snapshots, incompatible) != (
            3, CLUSTER_BITS, 0, 0, _EXTENDED_L2,
        ):  # fmt: skip
            raise LayerDamagedError(f"layer {self.path} is a qcow2 file, but not one of ours")
        identity = _read_extension(raw, _IDENTITY_EXTENSION)
        below = _read_extension(raw, _BELOW_EXTENSION)
        if len(identity) != 32:
            raise LayerDamagedError(f"layer {self.path} is a qcow2 file, but not one of ours")
        return Header(
            size=size,
            table_count=table_count,
            tables_offset=tables_offset,
            backing=raw[name_offset : name_offset + name_length].decode(errors="replace"),
            disk_id=str(uuid.UUID(bytes=identity[:16])),
            point_id=str(uuid.UUID(bytes=identity[16:])),
            below=int.from_bytes(below, "big") if below else None,
        )

    def _read_tables(self) -> NDArray[np.int64]:
        header = self.header
        # It may be larger than needed: QEMU enlarges it before the size.
        if header.table_count < -(-header.size // WINDOW):
            raise LayerDamagedError(f"layer {self.path} has an L1 table of the wrong size")
        raw = self._pread(header.table_count * 8, header.tables_offset, "the L1 table")
        entries = np.frombuffer(raw, dtype=">u8").astype(np.uint64) & np.uint64(_OFFSET_MASK)
        tables = entries.astype(np.int64)
        length = self.file.size()
        if np.any(tables % CLUSTER) or np.any(tables + CLUSTER > length + CLUSTER * (tables == 0)):
            raise LayerDamagedError(
                f"layer {self.path} is truncated or damaged: its L1 table refers to places outside "
                f"its {length} bytes"
            )
        return tables

    def _pread(self, length: int, offset: int, what: str) -> bytes:
        raw = self.file.read(offset, length)
        if len(raw) < length:
            raise LayerDamagedError(f"layer {self.path} is truncated: {what} is cut off")
        return raw


def _read_extension(raw: bytes, wanted: int) -> bytes:
    place = _find_extension(raw, wanted)
    return raw[place] if place else b""


def _find_extension(raw: bytes | bytearray, wanted: int) -> slice | None:
    """Where the data of a header extension is."""
    (start,) = struct.unpack_from(">I", raw, 100)
    while start + 8 <= len(raw):
        kind, length = struct.unpack_from(">II", raw, start)
        if kind == 0:
            break
        if kind == wanted:
            return slice(start + 8, start + 8 + length)
        start += 8 + length + (-length % 8)
    return None
