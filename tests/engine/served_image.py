"""An image served over NBD from a thread, as the source of new disks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mooring.model.extents import Image
from mooring.nbd.export import Export
from mooring.nbd.image_export import ImageExport
from mooring.nbd.server import NbdServer
from mooring.nbd.uri import NbdUri

NAME = "source"


class _KeptOpen(ImageExport):
    """The image outlives the connection."""

    async def close(self) -> None:
        pass


class ServedImage:
    """Serves until closed; can be interrupted."""

    def __init__(self, image: Image, socket: Path, name: str = NAME) -> None:
        self._name = name
        self._image = image
        self._socket = socket
        self.uri = str(NbdUri(name, socket=str(socket)))
        self._loop = asyncio.new_event_loop()
        self._executor = ThreadPoolExecutor(4)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server: NbdServer | None = None
        self.resume()

    async def names(self) -> Sequence[tuple[str, str]]:
        return [(self._name, "")]

    async def open(self, name: str) -> Export | None:
        return _KeptOpen(self._image, self._executor) if name == self._name else None

    def pause(self) -> None:
        """Cut off everybody and stop serving."""
        server, self._server = self._server, None
        if server is not None:
            asyncio.run_coroutine_threadsafe(server.close(), self._loop).result()

    def resume(self) -> None:
        """Serve again."""

        async def serve() -> NbdServer:
            server = NbdServer(self)
            await server.listen_unix(self._socket)
            return server

        self._server = asyncio.run_coroutine_threadsafe(serve(), self._loop).result()

    def close(self) -> None:
        self.pause()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._executor.shutdown()
