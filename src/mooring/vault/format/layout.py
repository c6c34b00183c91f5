"""The sizes and names that the vault's format fixes; see docs/formats/vault.md."""

from __future__ import annotations

import re

from mooring.model.errors import VaultError
from mooring.model.extents import BLOCK_SIZE, GIB

VERSION = 1
"""The version of the format, in every object."""

FRAME_BLOCKS = 128
FRAME_BYTES = FRAME_BLOCKS * BLOCK_SIZE
PAGE_BLOCKS = 8192
PAGE_BYTES = PAGE_BLOCKS * BLOCK_SIZE
DIRECTORY_PAGES = 512
DIRECTORY_BYTES = DIRECTORY_PAGES * PAGE_BYTES
SEGMENT_BYTES = 64 * 1024 * 1024
"""A segment is sealed before it grows beyond this, its table not counted."""

SEGMENT_FRAMES = 8192
MAX_DISK_BYTES = 16384 * GIB
DIGEST_BYTES = 32
ID_BYTES = 16

HEADER_NAME = "vault"
KEY_NAME = "key"
COPIED_NAME = "copied"
ROOTS = "roots/"
SEGMENTS = "segments/"
CLAIMS = "claims/"
DELETED = "deleted/"

_SNAPSHOT_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")


def is_snapshot_id(text: str) -> bool:
    """Whether a snapshot may be called so in a vault."""
    return _SNAPSHOT_ID.fullmatch(text) is not None


def root_name(snapshot_id: str) -> str:
    """The name of a snapshot's root. Raises VaultError for what cannot be an id."""
    if not is_snapshot_id(snapshot_id):
        raise VaultError(f"{snapshot_id[:70]!r} is not the id of a snapshot")
    return ROOTS + snapshot_id


def tombstone_name(snapshot_id: str, claim: str, deleted_ms: int) -> str:
    """The name under which a root is kept for a while after the snapshot was deleted."""
    return f"{DELETED}{tombstone_start(snapshot_id, claim)}{deleted_ms}"


def tombstone_start(snapshot_id: str, claim: str) -> str:
    """What the name of a root's tombstone begins with, in its folder."""
    return f"{snapshot_id}.{claim}."


def split_tombstone(name: str) -> tuple[str, int] | None:
    """The snapshot's id and the time of its deletion in ms; None if it is no tombstone's name."""
    parts = name.removeprefix(DELETED).split(".")
    return (parts[0], int(parts[2])) if len(parts) == 3 and parts[2].isdecimal() else None


def segment_name(segment_id: bytes) -> str:
    """The name of a segment; spread over 256 folders."""
    text = segment_id.hex()
    return f"{SEGMENTS}{text[:2]}/{text}"


def segment_id(name: str) -> bytes | None:
    """The id in a segment's name; None if the name is not a segment's."""
    text = name.rpartition("/")[2]
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) == ID_BYTES and segment_name(found) == name else None


def claim_name(claim_id: str) -> str:
    """The name of a claim."""
    return CLAIMS + claim_id
