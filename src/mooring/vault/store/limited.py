"""A store whose uploads keep to a rate."""

from __future__ import annotations

from mooring.host.pace import Pace
from mooring.model.extents import Buffer
from mooring.vault.store.interface import Store, Upload
from mooring.vault.store.wrapper import StoreWrapper, UploadWrapper


class LimitedStore(StoreWrapper):
    """Small objects go through at once. All who have the `pace` keep to it together."""

    def __init__(self, inner: Store, pace: Pace) -> None:
        super().__init__(inner)
        self._pace = pace

    def upload(self) -> Upload:
        return _LimitedUpload(self.inner.upload(), self._pace)


class _LimitedUpload(UploadWrapper):
    def __init__(self, inner: Upload, pace: Pace) -> None:
        super().__init__(inner)
        self._pace = pace

    def write(self, data: Buffer) -> None:
        self._pace.spend(len(data))
        self.inner.write(data)
