"""An object of a directory in the making."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mooring.files import rename_new
from mooring.model.errors import StoreError
from mooring.model.extents import Buffer
from mooring.vault.store.folder import VaultFolder


class DirectoryUpload:
    """A file without a name of its own yet."""

    def __init__(self, folder: VaultFolder) -> None:
        self._folder = folder
        self._fd, self._path = folder.temporary()

    def write(self, data: Buffer) -> None:
        if self._fd < 0:
            raise StoreError("the upload is over")
        view = memoryview(data)
        with self._folder.errors("write to"):
            while view:
                view = view[os.write(self._fd, view) :]

    def commit(self, name: str) -> None:
        try:
            self.finish(self._folder.path(name), replace=True)
        finally:
            self.abort()

    def finish(self, path: Path, *, replace: bool) -> bool:
        """Make the content durable and name it; False if the name is taken."""
        if self._fd < 0:
            raise StoreError("the upload is over")
        with self._folder.errors("write to"):
            os.fdatasync(self._fd)
            self._folder.check()
            try:
                return self._name(path, replace=replace)
            except FileNotFoundError:
                self._folder.check()
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return self._name(path, replace=replace)

    def _name(self, path: Path, *, replace: bool) -> bool:
        if replace:
            os.rename(self._path, path)  # noqa: PTH104 - for each object
        elif not rename_new(Path(self._path), path):
            return False
        self._path = ""
        return True

    def abort(self) -> None:
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        with suppress(OSError):
            os.close(fd)
        if self._path:
            with suppress(OSError):
                Path(self._path).unlink()
