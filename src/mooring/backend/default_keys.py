"""The private halves of default key pairs: in files, or sealed in a catalog."""

from __future__ import annotations

from pathlib import Path

from mooring.backend.cluster_key import read_cluster_key
from mooring.backend.private_file import write_private
from mooring.catalog.database import Catalog
from mooring.catalog.sharing.shared_secrets import SealedSecret


class DefaultKeys:
    """Files beside the catalog, not in it: so no copy of the catalog holds a secret.

    The folder and the files are for the server's user alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, pair_id: str, private: str) -> None:
        """Keep a private key durably. Raises DiskFullError, OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._path(pair_id), private)

    def find(self, pair_id: str) -> str | None:
        """The private key; None if its file is gone."""
        try:
            return self._path(pair_id).read_text()
        except FileNotFoundError:
            return None

    def forget(self, pair_id: str) -> None:
        self._path(pair_id).unlink(missing_ok=True)

    def _path(self, pair_id: str) -> Path:
        return self.folder / f"{pair_id}.pem"


class SharedDefaultKeys(DefaultKeys):
    """In a catalog that servers share, sealed with the cluster's key; files of before are read."""

    def __init__(self, folder: Path, catalog: Catalog, key_file: Path) -> None:
        super().__init__(folder)
        self._catalog, self._key_file = catalog, key_file

    def keep(self, pair_id: str, private: str) -> None:
        """Keep a private key where all servers find it."""
        key = read_cluster_key(self._key_file)
        if key is None:
            return super().keep(pair_id, private)
        name = _name(pair_id)
        with self._catalog.write() as transaction:
            transaction.shared_secrets.put(SealedSecret(name, 1, key.seal(name, 1, private)))
        return None

    def find(self, pair_id: str) -> str | None:
        """The private key; None if nobody has it, or what there is cannot be opened here."""
        if (own := super().find(pair_id)) is not None:
            return own
        key = read_cluster_key(self._key_file)
        with self._catalog.read() as transaction:
            found = transaction.shared_secrets.find(_name(pair_id))
        if key is None or found is None:
            return None
        try:
            return key.open(found.name, found.version, found.sealed)
        except ValueError:
            return None

    def forget(self, pair_id: str) -> None:
        super().forget(pair_id)
        with self._catalog.write() as transaction:
            transaction.shared_secrets.remove(_name(pair_id))


def _name(pair_id: str) -> str:
    return f"default key pair {pair_id}"
