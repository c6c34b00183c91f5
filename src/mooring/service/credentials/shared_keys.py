"""Access keys in a catalog that servers share, with a copy for each.

The copy is what the server itself, `mooringd env` and `mooring` on its host read. So nobody waits
for the database to learn who asks, and a file is to be protected as on a single host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from mooring.backend.cluster_key import (
    ClusterKey,
    new_cluster_key,
    read_cluster_key,
    write_cluster_key,
)
from mooring.backend.private_file import write_private
from mooring.catalog.database import Catalog
from mooring.catalog.sharing.shared_secrets import SealedSecret
from mooring.catalog.transaction import Transaction
from mooring.model.access import Access
from mooring.model.errors import ConfigurationError
from mooring.service.credentials.keys import (
    PROFILE,
    Key,
    keys_text,
    new_key,
    parse_keys,
    read_keys,
)

KEYS = "access keys"
_COPY = "# A copy of what the catalog has: `mooringd keys` changes them there, for all servers.\n"

log = structlog.get_logger("mooring.keys")

Edit = Callable[[list[Key]], list[Key]]
State = tuple[int, int, int, int]


class SharedKeys:
    """The keys of a catalog; `file` is this server's copy, `key_file` has the cluster's key."""

    def __init__(self, catalog: Catalog, file: Path, key_file: Path) -> None:
        self._catalog, self._file, self._key_file = catalog, file, key_file
        self._known: tuple[int | None, State | None] = (None, None)

    def begin(self) -> None:
        """Have keys in the catalog, those of the file among them, and a copy of all in the file.

        The first server makes the cluster's key. Raises ConfigurationError, DiskFullError, OSError.
        """
        with self._catalog.write() as transaction:
            found = transaction.shared_secrets.held(KEYS)
            if found is None:
                key = read_cluster_key(self._key_file)
                if key is None:
                    key = new_cluster_key()
                    write_cluster_key(self._key_file, key)
                known: Mapping[str, Key] = {}
            else:
                key = self._key()
                known = self._open(key, found)
            keys = _together(known, self._own(copies=found is None)) or [
                new_key(PROFILE, Access(PROFILE))
            ]
            if len(keys) > len(known):
                _put(transaction, key, found, keys)
        self.copy()

    def read(self) -> dict[str, Key]:
        """The keys in the catalog, by id. Raises ConfigurationError."""
        return self._read()[1]

    def edit(self, edit: Edit) -> tuple[Mapping[str, Key], list[Key]]:
        """Change the keys alone; returns those before and after. Raises ConfigurationError."""
        with self._catalog.write() as transaction:
            found = transaction.shared_secrets.held(KEYS)
            key = self._key()
            if found is None:
                raise ConfigurationError(
                    "the catalog has no access keys yet: the first `mooringd serve` makes one"
                )
            before = self._open(key, found)
            after = edit(list(before.values()))
            _put(transaction, key, found, after)
        return before, after

    def copy(self) -> int:
        """Write the file as the catalog has the keys; returns which version that is."""
        version, keys = self._read()
        text = _COPY + keys_text(keys.values())
        if not self._is(text):
            write_private(self._file, text)
        return version

    def follow(self, version: int | None) -> bool:
        """Write the file again if that is not the version known, or if somebody has changed it.

        Returns whether it was written. For one thread at a time.
        """
        if (version, self._state()) == self._known:
            return False
        if version is not None and version == self._known[0]:
            log.warning(
                "the file of access keys was changed, and is a copy again: `mooringd keys` "
                "changes them for all servers",
                file=str(self._file),
            )
        self._known = (self.copy(), self._state())
        return True

    def _state(self) -> State | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size

    def _is(self, text: str) -> bool:
        try:
            others = self._file.stat().st_mode & 0o077
            return not others and self._file.read_bytes() == text.encode()
        except FileNotFoundError:
            return False

    def _read(self) -> tuple[int, dict[str, Key]]:
        with self._catalog.read() as transaction:
            found = transaction.shared_secrets.find(KEYS)
        if found is None:
            raise ConfigurationError(
                "the catalog has no access keys yet: the first `mooringd serve` makes one"
            )
        return found.version, self._open(self._key(), found)

    def _key(self) -> ClusterKey:
        key = read_cluster_key(self._key_file)
        if key is None:
            raise ConfigurationError(
                f"{self._key_file} is missing, and with it the key of the secrets that servers "
                "share in the catalog: `mooringd join` brings it, given a join secret, or copy it "
                "from another server's data directory"
            )
        return key

    def _open(self, key: ClusterKey, found: SealedSecret) -> dict[str, Key]:
        try:
            text = key.open(found.name, found.version, found.sealed)
        except ValueError:
            raise ConfigurationError(
                f"{self._key_file} does not open the secrets in the catalog: it is of another "
                "cluster, or they were tampered with. Copy the file from another server's data "
                "directory"
            ) from None
        return parse_keys(text, "the list of access keys in the catalog")

    def _own(self, *, copies: bool) -> Mapping[str, Key]:
        """The keys of a file that is no copy, from before this server had the cluster's key.

        Of a copy too, if the catalog has lost what it was copied from.
        """
        try:
            text = self._file.read_text(encoding="utf-8")
            if text.startswith(_COPY) and not copies:
                return {}
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError:
            pass
        return read_keys(self._file)


def _together(known: Mapping[str, Key], own: Mapping[str, Key]) -> list[Key]:
    """All of them, each under a section of its own."""
    keys = list(known.values())
    taken = {key.profile for key in keys}
    for key in own.values():
        if key.id in known:
            continue
        profile = key.profile if key.profile not in taken else f"{key.access.user}-{key.id}"
        keys.append(replace(key, profile=profile))
        taken.add(profile)
    return keys


def _put(
    transaction: Transaction, key: ClusterKey, before: SealedSecret | None, keys: list[Key]
) -> None:
    version = 1 if before is None else before.version + 1
    transaction.shared_secrets.put(
        SealedSecret(KEYS, version, key.seal(KEYS, version, keys_text(keys)))
    )
