"""The vault's key, wrapped by a secret that can be changed."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mooring.model.errors import DamageError, ObjectNotFoundError, WrongKeyError
from mooring.vault.format import envelope
from mooring.vault.format.cipher import KEY_BYTES, NONCE_BYTES
from mooring.vault.format.layout import KEY_NAME
from mooring.vault.store.interface import Store

SCHEME = "aes-256-gcm"
"""What a header says of a vault whose content is sealed."""

SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 15, 8, 1
"""32 MiB and some 0.1 s for each guess at a passphrase."""

_MOST_MEMORY = 1 << 30
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True, repr=False)
class VaultKey:
    """The key itself, and the id of the vault that it is for. Never show it."""

    vault_id: str
    key: bytes


def create_key(store: Store, vault_id: str, secret: bytes) -> VaultKey:
    """Make a key, or open the one that is there: of several callers at once one wins."""
    made = VaultKey(vault_id, os.urandom(KEY_BYTES))
    if not store.put(KEY_NAME, _wrap(made, secret), replace=False):
        return open_key(store, secret)
    store.barrier([KEY_NAME])
    return made


def open_key(store: Store, secret: bytes) -> VaultKey:
    """Unwrap the key. Raises WrongKeyError, DamageError."""
    what = f"the key of the vault {store.description}"
    try:
        data = store.get(KEY_NAME)
    except ObjectNotFoundError:
        raise DamageError(
            f"{what} is missing: put its object {KEY_NAME!r} back from a copy; without it nothing "
            "in the vault can be read"
        ) from None
    body = envelope.unwrap(envelope.KEY, data, what)
    fields = envelope.read_fields(body, what, {})
    try:
        vault_id = str(fields["vault"])
        salt, nonce, wrapped = (bytes.fromhex(fields[one]) for one in ("salt", "nonce", "wrapped"))
        cost = int(fields["n"]), int(fields["r"]), int(fields["p"])
        if 256 * cost[0] * cost[1] > _MOST_MEMORY or not 0 < cost[2] <= 16:
            raise DamageError(f"{what} is damaged: it asks for too much memory or time")
        wrapper = AESGCM(_stretch(secret, salt, *cost))
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{what} is damaged: {error}") from error
    try:
        return VaultKey(vault_id, wrapper.decrypt(nonce, wrapped, vault_id.encode()))
    except InvalidTag:
        raise WrongKeyError(
            f"the secret given is not that of the vault {store.description}: it has another key "
            "file or passphrase. Nothing is damaged"
        ) from None


def change_secret(store: Store, old: bytes, new: bytes) -> None:
    """Wrap the key with another secret; no data is rewritten.

    The old secret opens older copies of the key still. Raises WrongKeyError, DamageError.
    """
    store.put(KEY_NAME, _wrap(open_key(store, old), new))
    store.barrier([KEY_NAME])


def _wrap(key: VaultKey, secret: bytes) -> bytes:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(NONCE_BYTES)
    wrapper = AESGCM(_stretch(secret, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P))
    fields = {
        "vault": key.vault_id,
        "kdf": "scrypt",
        "n": SCRYPT_N,
        "r": SCRYPT_R,
        "p": SCRYPT_P,
        "salt": salt.hex(),
        "nonce": nonce.hex(),
        "wrapped": wrapper.encrypt(nonce, key.key, key.vault_id.encode()).hex(),
    }
    return envelope.wrap(envelope.KEY, json.dumps(fields).encode())


def _stretch(secret: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        secret, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + (1 << 20), dklen=KEY_BYTES
    )
