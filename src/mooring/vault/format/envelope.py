"""The shell of small objects: magic, version, length, body, digest."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from types import UnionType
from typing import Any

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
        raise DamageError(f"{what} is damaged: its digest does not match")
    found, version, length = _START.unpack_from(data)
    if found != magic:
        raise DamageError(f"{what} is damaged: it is an object of another kind, {found!r}")
    if version != VERSION:
        raise VaultError(
            f"{what} has format version {version}; this Mooring reads version {VERSION}: "
            "use the Mooring that wrote it, or a newer one"
        )
    if length != len(data) - _START.size - DIGEST_BYTES:
        raise DamageError(f"{what} is damaged: its length does not match")
    return data[_START.size : -DIGEST_BYTES]


def read_fields(text: bytes, what: str, kinds: Mapping[str, type | UnionType]) -> dict[str, Any]:
    """Return what the JSON of an object tells, of which these fields have these types.

    A digest that fits says only that the bytes are those that somebody wrote. Raises DamageError.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{what} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise DamageError(f"{what} is damaged: it says nothing")
    check_fields(found, what, kinds)
    return found


def check_fields(
    found: Mapping[str, Any], what: str, kinds: Mapping[str, type | UnionType]
) -> None:
    """Raise DamageError unless these fields have these types; a bool is no number."""
    for name, kind in kinds.items():
        value = found.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DamageError(f"{what} is damaged: {name} is {value!r:.40}")


def texts(found: object, what: str) -> list[str]:
    """The list, if it is one of texts. Raises DamageError."""
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise DamageError(f"{what} is damaged: it lists {found!r:.40}")
    return found
