"""A store that takes no more room than somebody lets it have."""

from __future__ import annotations

from collections.abc import Callable

from mooring.model.extents import Buffer
from mooring.vault.store.interface import Store, Upload
from mooring.vault.store.wrapper import StoreWrapper, UploadWrapper


class RoomyStore(StoreWrapper):
    """Small objects go through: what makes room needs them."""

    def __init__(self, inner: Store, check: Callable[[], None]) -> None:
        """`check` raises DiskFullError while nothing larger may be written."""
        super().__init__(inner)
        self._check = check

    def upload(self) -> Upload:
        self._check()
        return _RoomyUpload(self.inner.upload(), self._check)


class _RoomyUpload(UploadWrapper):
    def __init__(self, inner: Upload, check: Callable[[], None]) -> None:
        super().__init__(inner)
        self._check = check

    def write(self, data: Buffer) -> None:
        self._check()
        self.inner.write(data)
