"""Reads the source of a base that is not filled yet."""

from __future__ import annotations

import os
import sys
import threading

from mooring.engine.qemu.layers.base_source import BaseSource
from mooring.model.errors import EngineError, NbdError
from mooring.model.extents import Edges
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import NbdUri


class SourceReader:
    """Connects when it is first needed: what a disk has changed can be told without."""

    def __init__(self, source: BaseSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._client: BlockingNbdClient | None = None
        self._edges: Edges | None = None

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range, zeros after the end. Raises EngineError."""
        inside = max(0, min(length, self._source.size - offset))
        try:
            data = self._connected().read(offset, inside) if inside else b""
        except NbdError as error:
            raise self._failure(error) from error
        return data + bytes(length - inside)

    def seek(self, offset: int, whence: int) -> int:
        """The next data (os.SEEK_DATA) or hole (os.SEEK_HOLE); far away if there is none.

        Raises EngineError.
        """
        in_data, change = self._data_edges().at(offset)
        if in_data == (whence == os.SEEK_DATA):
            return offset
        return sys.maxsize if change is None else change

    def close(self) -> None:
        """Close the connection; what comes after connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _data_edges(self) -> Edges:
        if self._edges is None:
            try:
                self._edges = self._connected().data()
            except NbdError as error:
                raise self._failure(error) from error
        return self._edges

    def _connected(self) -> BlockingNbdClient:
        with self._lock:
            if self._client is None:
                uri = NbdUri(self._source.export, socket=self._source.socket)
                self._client = BlockingNbdClient(uri)
            return self._client

    def _failure(self, error: NbdError) -> EngineError:
        self.close()
        return EngineError(f"the snapshot {self._source.export} cannot be read: {error}")
