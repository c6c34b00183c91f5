"""The shell of small objects: magic, version, length, body, digest."""

from __future__ import annotations

import struct

from blake3 import blake3

from mooring.model.errors import DamageError, VaultError
from mooring.vault.format.layout import DIGEST_BYTES, VERSION

HEADER = b"MOORVALT"
ROOT = b"MOORROOT"
CLAIM = b"MOORCLAM"
KEY = b"MOORKEYS"
COPIED = b"MOORCOPY"

_START = struct.Struct("<8sIQ")


def wrap(magic: bytes, body: bytes) -> bytes:
    """Return the object that holds the body."""
    data = _START.pack(magic, VERSION, len(body)) + body
    return data + blake3(data).digest()


def unwrap(magic: bytes, data: bytes, what: str) -> bytes:
    """Return the checked body. `what` names the object in messages.

    Raises DamageError if a single bit is wrong, VaultError if the version is another.
    """
    if len(data) < _START.size + DIGEST_BYTES:
        raise DamageError(f"{what} is damaged: it has only {len(data)} bytes")
    if blake3(data[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise DamageError(f"{what} is damaged: its digest does not fit")
    found, version, length = _START.unpack_from(data)
    if found != magic:
        raise DamageError(f"{what} is damaged: it is an object of another kind, {found!r}")
    if version != VERSION:
        raise VaultError(
            f"{what} has format version {version}; this Mooring reads version {VERSION}: "
            "use the Mooring that wrote it, or a newer one"
        )
    if length != len(data) - _START.size - DIGEST_BYTES:
        raise DamageError(f"{what} is damaged: its length does not fit")
    return data[_START.size : -DIGEST_BYTES]
