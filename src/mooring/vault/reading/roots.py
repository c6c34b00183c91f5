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
    tombstone_start,
)
from mooring.vault.format.root import Root, decode_root
from mooring.vault.reading.cache import ByteCache
from mooring.vault.store.abreast import Abreast
from mooring.vault.store.interface import Store, exists

REMEMBERED_BYTES = 32 * 1024 * 1024
"""For roots as they are stored: 30,000 of small disks."""


class Roots:
    """Lists them again each time: other processes store and delete snapshots meanwhile.

    A root never changes, but its name may come to another: a writer that lost its claim removes
    what it has just put, and tries again. So `all` believes what it remembers only where the
    listing has the same mark as then.
    """

    def __init__(self, store: Store, cipher: Cipher, abreast: Abreast) -> None:
        self._store = store
        self._cipher = cipher
        self._abreast = abreast
        self._known: ByteCache[str, tuple[str, bytes]] = ByteCache(REMEMBERED_BYTES)

    def ids(self) -> Iterator[str]:
        """The ids of all snapshots, also of those whose root cannot be read.

        Raises VaultAwayError in the end if the store has gone, which looks like fewer snapshots.
        """
        return (snapshot_id for snapshot_id, _ in self._listed())

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
        if self._store.begins(DELETED, tombstone_start(snapshot_id, root.claim)):
            raise self._missing(snapshot_id)
        return root

    def all(self, *, anew: bool = False) -> Iterator[tuple[str, Root | DamageError]]:
        """Yield the id and the root of each snapshot, or what is wrong with it.

        What was deleted meanwhile is left out. With `anew` every root is read from the store.
        Raises as `ids`.
        """

        def read(listed: tuple[str, str]) -> tuple[str, Root | DamageError | None]:
            snapshot_id, mark = listed
            try:
                return snapshot_id, self._as_marked(snapshot_id, "" if anew else mark)
            except DamageError as error:
                return snapshot_id, error
            except ObjectNotFoundError:
                self._store.check()
                return snapshot_id, None

        for snapshot_id, found in self._abreast.map(read, self._listed()):
            if found is not None:
                yield snapshot_id, found

    def readable(
        self, ids: Iterable[str] | None = None, *, anew: bool = False
    ) -> tuple[list[Root], dict[str, str]]:
        """The roots, of these snapshots or of all; of those that are damaged, what is wrong.

        `anew` as for `all`. Raises SnapshotNotInVaultError if one of these is not there.
        """
        roots: list[Root] = []
        damaged: dict[str, str] = {}
        for snapshot_id, found in self.all(anew=anew) if ids is None else self._chosen(ids):
            if isinstance(found, DamageError):
                damaged[snapshot_id] = str(found)
            else:
                roots.append(found)
        return roots, damaged

    def _listed(self) -> Iterator[tuple[str, str]]:
        for name, mark in self._store.marked(ROOTS):
            yield name.removeprefix(ROOTS), mark
        self._store.check()

    def _chosen(self, ids: Iterable[str]) -> Iterator[tuple[str, Root | DamageError]]:
        def read(snapshot_id: str) -> tuple[str, Root | DamageError]:
            try:
                return snapshot_id, self.get(snapshot_id)
            except DamageError as error:
                return snapshot_id, error

        return self._abreast.map(read, ids)

    def _as_marked(self, snapshot_id: str, mark: str) -> Root:
        """The root that was listed with this mark. Raises ObjectNotFoundError, DamageError."""
        if not is_snapshot_id(snapshot_id):
            raise self._none_of_ours(snapshot_id)
        known = self._known.get(snapshot_id)
        if mark and known is not None and known[0] == mark:
            return decode_root(known[1], snapshot_id, self._cipher)
        data = self._store.get(root_name(snapshot_id))
        root = decode_root(data, snapshot_id, self._cipher)
        if mark:
            self._known.put(snapshot_id, (mark, data), len(data) + 300)
        return root

    def _none_of_ours(self, snapshot_id: str) -> DamageError:
        return DamageError(
            f"the object {ROOTS}{snapshot_id[:70]!r} of {self._store.description} is none of a "
            "vault's: take it away"
        )

    def _missing(self, snapshot_id: str) -> SnapshotNotInVaultError:
        self._store.check()
        return SnapshotNotInVaultError(
            f"the vault {self._store.description} has no snapshot {snapshot_id}"
        )
