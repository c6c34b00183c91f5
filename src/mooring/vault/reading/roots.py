"""The roots in one store: which snapshots there are, and what their roots say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mooring.model.errors import DamageError, ObjectNotFoundError, SnapshotNotInVaultError
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.layout import (
    DELETED,
    ROOTS,
    is_snapshot_id,
    root_name,
    tombstone_prefix,
)
from mooring.vault.format.root import Root, decode_root
from mooring.vault.store.interface import Store, exists


class Roots:
    """Reads them anew each time: other processes store and delete snapshots meanwhile."""

    def __init__(self, store: Store, cipher: Cipher) -> None:
        self._store = store
        self._cipher = cipher

    def ids(self) -> Iterator[str]:
        """Yield the ids of all snapshots, also of those whose root cannot be read.

        Raises VaultAwayError in the end if the store has gone, which looks like fewer snapshots.
        """
        for name in self._store.names(ROOTS):
            yield name.removeprefix(ROOTS)
        self._store.check()

    def has(self, snapshot_id: str) -> bool:
        """Whether the snapshot has a root, whole or not."""
        return exists(self._store, root_name(snapshot_id))

    def stored(self, snapshot_id: str) -> bytes:
        """The root as it is stored. Raises SnapshotNotInVaultError."""
        try:
            return self._store.get(root_name(snapshot_id))
        except ObjectNotFoundError:
            raise self._missing(snapshot_id) from None

    def get(self, snapshot_id: str) -> Root:
        """The root of a snapshot. Raises SnapshotNotInVaultError, DamageError."""
        if not is_snapshot_id(snapshot_id):
            raise DamageError(
                f"the object {ROOTS}{snapshot_id[:70]!r} of {self._store.description} is not a "
                "vault's: remove it"
            )
        return decode_root(self.stored(snapshot_id), snapshot_id, self._cipher)

    def claimed(self, snapshot_id: str) -> Root:
        """The root of a snapshot that is not being deleted, for whoever has put a claim on it.

        Raises as `get`.
        """
        root = self.get(snapshot_id)
        prefix = tombstone_prefix(snapshot_id, root.claim)
        if any(name.startswith(prefix) for name in self._store.names(DELETED)):
            raise self._missing(snapshot_id)
        return root

    def readable(self, ids: Iterable[str] | None = None) -> tuple[list[Root], dict[str, str]]:
        """The roots, of these snapshots or of all; of those that are damaged, what is wrong.

        Raises SnapshotNotInVaultError if one of these is not there.
        """
        roots: list[Root] = []
        damaged: dict[str, str] = {}
        for snapshot_id in self.ids() if ids is None else ids:
            try:
                roots.append(self.get(snapshot_id))
            except DamageError as error:
                damaged[snapshot_id] = str(error)
            except SnapshotNotInVaultError:
                # Of all, it was deleted meanwhile.
                if ids is not None:
                    raise
        return roots, damaged

    def _missing(self, snapshot_id: str) -> SnapshotNotInVaultError:
        self._store.check()
        return SnapshotNotInVaultError(
            f"the vault {self._store.description} has no snapshot {snapshot_id}"
        )
