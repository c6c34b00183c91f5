"""The private halves of default key pairs, each in a file."""

from __future__ import annotations

from pathlib import Path

from mooring.backend.private_file import write_private


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
