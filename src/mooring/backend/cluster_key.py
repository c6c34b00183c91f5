"""The key that opens what servers share in secret: a file of each server."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from blake3 import blake3

from mooring.backend.private_file import write_private
from mooring.model.errors import ConfigurationError

KEY_BYTES, NONCE_BYTES = 32, 12
_HEAD = "mooring-cluster-key-1"
_SECRETS = "mooring cluster 1: shared secrets"
_PASSING = "mooring cluster 1: requests passed on"


class ClusterKey:
    """Seals shared secrets with AES-256-GCM. Never show it.

    A sealed secret opens only under its own name and version, so that whoever can change the
    catalog can neither make one up nor put one in another's place.
    """

    def __init__(self, key: bytes) -> None:
        # Most servers have no such key, and start without the library.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.key = key
        self._cipher = AESGCM(blake3(key, derive_key_context=_SECRETS).digest())

    def seal(self, name: str, version: int, text: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), _place(name, version))
        return base64.b64encode(nonce + sealed).decode()

    def open(self, name: str, version: int, sealed: str) -> str:
        """Undo `seal`. Raises ValueError if it was not sealed with this key for that place."""
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.b64decode(sealed, validate=True)
            nonce, body = data[:NONCE_BYTES], data[NONCE_BYTES:]
            return self._cipher.decrypt(nonce, body, _place(name, version)).decode()
        except (binascii.Error, InvalidTag) as error:
            raise ValueError(f"{name} was not sealed with this key") from error

    def passing_secret(self, host_id: str) -> str:
        """What servers seal requests with that they pass on to that host."""
        derived = blake3(self.key, derive_key_context=_PASSING).digest()
        return blake3(host_id.encode(), key=derived).hexdigest()


def new_cluster_key() -> ClusterKey:
    """A key that nobody has had before."""
    return ClusterKey(os.urandom(KEY_BYTES))


def read_cluster_key(path: Path) -> ClusterKey | None:
    """The key in the file; None if there is no file. Raises ConfigurationError."""
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            words = file.read().split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"{path} has mode {mode:04o}, so others could read the key of all secrets: "
            f"chmod 600 {path}"
        )
    try:
        head, text = words
        key = base64.b64decode(text, validate=True)
    except ValueError:
        head, key = "", b""
    if head != _HEAD or len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{path} is not a cluster's key: copy the file of that name from another server's "
            "data directory"
        )
    return ClusterKey(key)


def write_cluster_key(path: Path, key: ClusterKey) -> None:
    """Write it durably for this user alone. Raises DiskFullError, OSError."""
    write_private(path, f"{_HEAD} {base64.b64encode(key.key).decode()}\n")


def _place(name: str, version: int) -> bytes:
    return f"{name} {version}".encode()
