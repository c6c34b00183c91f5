"""An NBD export as an image that several threads read."""

from __future__ import annotations

from collections.abc import Iterator

from mooring.model.extents import Extent
from mooring.nbd.blocking import BlockingNbdClient


class ExportImage:
    """Connects when it is made; close it. Everything raises NbdError."""

    def __init__(self, uri: str) -> None:
        self._client = BlockingNbdClient(uri)
        self.size = self._client.info.size
        try:
            self._edges = self._client.data()
        except BaseException:
            self._client.close()
            raise

    def extents(self) -> Iterator[Extent]:
        for begin, end in self._edges:
            yield Extent(begin, end - begin)

    def read(self, offset: int, length: int) -> bytes:
        return self._client.read(offset, length)

    def close(self) -> None:
        """End the connection; reads under way fail."""
        self._client.close()
