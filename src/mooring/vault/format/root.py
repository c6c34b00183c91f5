"""Roots: one small self-describing object for each snapshot."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mooring.members import member_names, members
from mooring.model.errors import DamageError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format import envelope
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.layout import DIRECTORY_BYTES, MAX_DISK_BYTES
from mooring.vault.format.references import References, decode

_LENGTH = struct.Struct("<I")
_FIELDS = {
    "info": dict,
    "parent": str | None,
    "completed_ms": int,
    "statistics": dict,
    "claim": str,
}
_NO_SEGMENT = b"\xff" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """All that the catalog needs to know a snapshot again. Times in ms, `size` in bytes.

    `extra` is kept as it is: whatever else the caller wants to find again.
    """

    id: str
    region: str
    name: str
    disk_id: str
    disk_name: str
    size: int
    created_ms: int
    disk_zone: str = ""
    support_code: str = ""
    tags: Mapping[str, str | None] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What storing a snapshot took. Everything but the counts of blocks and segments in bytes.

    `taken_bytes` were written to the writer, zeros among them; `changed_blocks` became
    different references, zero ones included, but not those written again unchanged;
    `data_bytes` are the stored frames of data;
    `shared_bytes` were found in the vault, in another disk or place, and not stored again;
    `stored_bytes` is all that was written to the store but the root.
    """

    taken_bytes: int = 0
    zero_bytes: int = 0
    unchanged_bytes: int = 0
    shared_bytes: int = 0
    changed_blocks: int = 0
    data_bytes: int = 0
    stored_bytes: int = 0
    segments: int = 0
    map_pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A snapshot in the vault. `parent` is the snapshot whose map was taken over."""

    info: SnapshotInfo
    parent: str | None
    completed_ms: int
    statistics: Statistics
    claim: str
    table: References

    @property
    def id(self) -> str:
        return self.info.id


def check_size(size: int) -> int:
    """Return the size of a disk, or raise VaultError."""
    if not 0 < size <= MAX_DISK_BYTES or size % BLOCK_SIZE:
        raise VaultError(
            f"a disk of {size} bytes cannot be stored: the size must be a multiple of "
            f"{BLOCK_SIZE} and at most {MAX_DISK_BYTES} bytes"
        )
    return size


def table_length(size: int) -> int:
    """The number of directories of a disk of that size."""
    return -(-size // DIRECTORY_BYTES)


def encode_root(root: Root, cipher: Cipher) -> bytes:
    """The object to be stored."""
    meta = {
        "info": {
            **members(root.info),
            "tags": dict(root.info.tags),
            "extra": dict(root.info.extra),
        },
        "parent": root.parent,
        "completed_ms": root.completed_ms,
        "statistics": members(root.statistics),
        "claim": root.claim,
    }
    text = json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()
    body = _LENGTH.pack(len(text)) + text + root.table.encode(None)
    return envelope.wrap(envelope.ROOT, cipher.seal_object(_place(root.id), body))


def decode_root(data: bytes, snapshot_id: str, cipher: Cipher) -> Root:
    """Read a root. Raises DamageError naming the snapshot, VaultError for another version."""
    what = f"the root of snapshot {snapshot_id}"
    sealed = envelope.unwrap(envelope.ROOT, data, what)
    body = cipher.open_object(_place(snapshot_id), sealed, what)
    if len(body) < _LENGTH.size:
        raise DamageError(f"{what} is damaged: it is too short")
    (length,) = _LENGTH.unpack_from(body)
    table = body[_LENGTH.size + length :]
    meta = envelope.read_fields(body[_LENGTH.size : _LENGTH.size + length], what, _FIELDS)
    envelope.check_fields(meta["statistics"], what, dict.fromkeys(meta["statistics"], int))
    try:
        info = SnapshotInfo(**_known(SnapshotInfo, meta["info"]))
        _check_types(info)
        if info.id != snapshot_id:
            raise VaultError(f"it belongs to snapshot {info.id}")
        return Root(
            info=info,
            parent=meta["parent"],
            completed_ms=meta["completed_ms"],
            statistics=Statistics(**_known(Statistics, meta["statistics"])),
            claim=meta["claim"],
            table=decode(table, _NO_SEGMENT, table_length(check_size(info.size)), blocks=False),
        )
    except (ValueError, TypeError, VaultError) as error:
        raise DamageError(f"{what} is damaged: {error}") from error


def _check_types(info: SnapshotInfo) -> None:
    """Raise TypeError for values that are not of the type that everybody relies on."""
    for name, value in members(info).items():
        if isinstance(value, str):
            value.encode()  # refuses what cannot be printed or stored
        kind = {"size": int, "created_ms": int, "tags": dict, "extra": dict}.get(name, str)
        if type(value) is not kind:
            raise TypeError(f"{name} is {value!r:.40}")
    for key, value in (*info.tags.items(), *info.extra.items()):
        if not isinstance(value, str) and not (value is None and key in info.tags):
            raise TypeError(f"{key!r:.40} is {value!r:.40}")


def _place(snapshot_id: str) -> bytes:
    return envelope.ROOT + snapshot_id.encode()


def _known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Later versions may say more than this one knows; nothing of it changes the content."""
    names = member_names(kind)
    return {name: value for name, value in values.items() if name in names}
