"""The NBD client for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mooring.model.counts import counted
from mooring.model.errors import NbdDisconnectedError, NbdError
from mooring.model.extents import Edges
from mooring.nbd import protocol as p
from mooring.nbd.client import CONNECT_SECONDS, NbdClient, list_exports
from mooring.nbd.protocol import ExportInfo, StatusExtent
from mooring.nbd.uri import NbdUri

T = TypeVar("T")

LISTING_SECONDS = 5.0
"""How long a server may take to say what it serves."""


class BlockingNbdClient:
    """An NbdClient behind blocking calls, which any thread may make; see there.

    Calls of several threads are in flight at once. Close it, or use `with`.
    """

    def __init__(
        self,
        uri: str | NbdUri,
        *,
        contexts: Sequence[str] = (p.BASE_ALLOCATION,),
        timeout: float = CONNECT_SECONDS,
        same_user: bool = False,
        patience: float | None = None,
    ) -> None:
        """`patience` is how many seconds a read, or a map, may take: longer raises NbdError."""
        self._patience = patience
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nbd", daemon=True)
        self._thread.start()
        try:
            self._client = self._wait(
                NbdClient.connect(uri, contexts=contexts, timeout=timeout, same_user=same_user)
            )
        except BaseException:
            self._stop()
            raise

    @property
    def info(self) -> ExportInfo:
        return self._client.info

    @property
    def contexts(self) -> tuple[str, ...]:
        return self._client.contexts

    def read(self, offset: int, length: int) -> bytes:
        return self._wait(self._client.read(offset, length), self._patience)

    def write(self, offset: int, data: bytes | memoryview, *, fua: bool = False) -> None:
        self._wait(self._client.write(offset, data, fua=fua))

    def flush(self) -> None:
        self._wait(self._client.flush())

    def trim(self, offset: int, length: int, *, fua: bool = False) -> None:
        self._wait(self._client.trim(offset, length, fua=fua))

    def write_zeroes(
        self, offset: int, length: int, *, fua: bool = False, punch: bool = True
    ) -> None:
        self._wait(self._client.write_zeroes(offset, length, fua=fua, punch=punch))

    def map(
        self, context: str = p.BASE_ALLOCATION, offset: int = 0, length: int | None = None
    ) -> list[tuple[int, StatusExtent]]:
        """As `NbdClient.map`, all at once."""

        async def collect() -> list[tuple[int, StatusExtent]]:
            return [item async for item in self._client.map(context, offset, length)]

        return self._wait(collect(), self._patience)

    def data(self) -> Edges:
        """Where the export holds data; all else reads as zeros."""

        async def collect() -> Edges:
            edges = Edges()
            async for offset, extent in self._client.map():
                if not extent.flags & p.STATUS_ZERO:
                    edges.add(offset, offset + extent.length)
            return edges

        return self._wait(collect())

    def close(self) -> None:
        """Say goodbye and close; requests of other threads fail. Further calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            closing = asyncio.run_coroutine_threadsafe(self._client.close(), self._loop)
        try:
            closing.result()
        finally:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        with self._lock:
            # Afterwards nothing would run it any more.
            if self._closed:
                work.close()
                raise NbdDisconnectedError("the connection was closed here")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            if seconds is None or not future.cancel():
                raise
            raise NbdError(
                f"the export's server does not answer: a read has waited "
                f"{counted(seconds, 'second')} (`mooringd doctor` on its host says more)"
            ) from None

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def exports_at(socket: Path, timeout: float = LISTING_SECONDS) -> list[str]:
    """The names of what the server at a Unix socket serves. Raises NbdError."""
    place = NbdUri(socket=str(socket))
    return [name for name, _ in asyncio.run(list_exports(place, timeout=timeout))]
