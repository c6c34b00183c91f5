"""The header: which vault this is, and how it is laid out and sealed."""

from __future__ import annotations

import json

from mooring.model.clock import Clock
from mooring.model.errors import DamageError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format import envelope
from mooring.vault.format.cipher import Cipher, Clear, Sealed
from mooring.vault.format.key import SCHEME, create_key, open_key
from mooring.vault.format.layout import (
    DIRECTORY_PAGES,
    FRAME_BLOCKS,
    HEADER_NAME,
    KEY_NAME,
    PAGE_BLOCKS,
)
from mooring.vault.store.interface import Store, exists

_GEOMETRY = {
    "block_bytes": BLOCK_SIZE,
    "frame_blocks": FRAME_BLOCKS,
    "page_blocks": PAGE_BLOCKS,
    "directory_pages": DIRECTORY_PAGES,
}


def create_header(store: Store, clock: Clock, vault_id: str, secret: bytes | None) -> bytes:
    """Make a vault in an empty store; returns the header of whoever was first.

    Raises VaultError if the store is not empty, DiskFullError, WrongKeyError.
    """
    # A key alone is what a creation that was killed leaves.
    if any(name != KEY_NAME or secret is None for name in store.names("")):
        raise VaultError(
            f"{store.description} is not a vault, and not empty: choose an empty place for a new "
            "vault, or put its lost object 'vault' back"
        )
    if secret is not None:
        vault_id = create_key(store, vault_id, secret).vault_id
    scheme = None if secret is None else SCHEME
    fields = {"id": vault_id, "created_ms": clock.now_ms(), "encryption": scheme, **_GEOMETRY}
    header = envelope.wrap(envelope.HEADER, json.dumps(fields).encode())
    # Of several servers that create it at once, one wins and all use that.
    if not store.put(HEADER_NAME, header, replace=False):
        header = store.get(HEADER_NAME)
    store.barrier([HEADER_NAME])
    return header


def open_cipher(store: Store, vault_id: str, scheme: str | None, secret: bytes | None) -> Cipher:
    """What seals and opens the vault's content. Raises VaultError, WrongKeyError, DamageError."""
    if scheme is None:
        if secret is not None:
            raise VaultError(
                f"the vault {store.description} has no key, and cannot be given one: remove the "
                "key from the settings, or start a new vault in an empty place"
            )
        return Clear()
    if secret is None:
        raise VaultError(
            f"the vault {store.description} has a key: name its key file in the settings"
        )
    key = open_key(store, secret)
    if key.vault_id != vault_id:
        raise DamageError(
            f"the key in {store.description} belongs to another vault, {key.vault_id}: put the "
            f"object {KEY_NAME!r} of the vault {vault_id} back"
        )
    return Sealed(key.key)


def read_header(data: bytes, description: str) -> tuple[str, str | None]:
    """Check the header; return the vault's id, and how its content is sealed, None for clear.

    Raises DamageError, VaultError.
    """
    what = f"the header of the vault {description}"
    body = envelope.unwrap(envelope.HEADER, data, what)
    fields = envelope.read_fields(body, what, {"id": str})
    found = {name: fields.get(name) for name in _GEOMETRY}
    scheme = fields.get("encryption")
    if found != _GEOMETRY or scheme not in (None, SCHEME):
        raise VaultError(
            f"{description} is a vault of a kind that this Mooring does not read: {found}, "
            f"encryption {scheme}"
        )
    return fields["id"], scheme


def has_header(store: Store) -> bool:
    """Whether a vault is in the store; one that has lost its header is none."""
    return exists(store, HEADER_NAME)


def has_more_than_key(store: Store) -> bool:
    """Whether there is anything but what a creation leaves that was killed at its very begin."""
    return any(name != KEY_NAME for name in store.names(""))
