"""Where a vault is: a directory or a bucket, and what its key file holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mooring.host.mount_points import not_mounted
from mooring.model.errors import ConfigurationError, VaultAwayError
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.interface import Store
from mooring.vault.store.retrying import PATIENCE, Patience

__all__ = ["Store", "directory_of", "is_bucket", "is_missing", "open_place", "spelling"]

_BUCKET = "s3://"


def is_bucket(place: str) -> bool:
    """Whether a setting names a bucket rather than a directory."""
    return place.startswith(_BUCKET)


def directory_of(place: str) -> Path | None:
    """The directory that a setting names; None for a bucket."""
    return None if is_bucket(place) else Path(place)


def is_missing(place: str) -> bool:
    """Whether it is a directory that is not there. Of a bucket only opening it tells."""
    directory = directory_of(place)
    return directory is not None and not directory.is_dir()


def spelling(place: str) -> str:
    """The same for all settings that name the same place."""
    return place.rstrip("/") if is_bucket(place) else str(Path(place).expanduser().resolve())


def open_place(
    place: str,
    options: Mapping[str, str],
    *,
    patience: Patience = PATIENCE,
    make: bool = True,
) -> Store:
    """Open the store in a directory, which is made if need be, or in a bucket.

    Without `make` the directory must be there. `options` and `patience` are those of S3Store.
    Raises ConfigurationError, StoreError; VaultAwayError if the directory is not there, or its
    file system is not mounted.
    """
    if is_bucket(place):
        # Its library is an extra, and takes its time to load.
        from mooring.vault.store.s3 import S3Store

        return S3Store(place, options, patience=patience)
    if not make and is_missing(place):
        raise VaultAwayError(f"{place} is away: mount it, or put it back")
    if (problem := not_mounted(Path(place))) is not None:
        raise VaultAwayError(f"{place} is away: {problem}")
    return DirectoryStore(Path(place))


def read_secret(file: str) -> bytes:
    """What a key file holds, without the line's end. Raises ConfigurationError."""
    path = Path(file).expanduser()
    try:
        mode = path.stat().st_mode & 0o777
        secret = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"the key file {path} has mode {mode:04o}, so others could read it: chmod 600 {path}"
        )
    if not secret:
        raise ConfigurationError(f"the key file {path} is empty: write a passphrase into it")
    return secret
