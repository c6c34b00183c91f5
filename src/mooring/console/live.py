"""News for open pages, as server-sent events: that something has changed, not what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mooring.api.exchange import Door, Exchange
from mooring.service.credentials.keys import Key

MOST = 100
"""Pages that may wait for news at once: each keeps a connection. More see them when loaded."""

LOOK_SECONDS = 1.0
"""How often it is looked, once for all pages of a region."""

REST_LOOKS = 3
"""After news so many looks pass before the next: where much happens, nobody sees each change."""

BEAT_LOOKS = 15
"""After so many looks without news a comment is sent, to find out who has left."""


class Live:
    """Watches regions while somebody waits for their news; for use within one event loop."""

    def __init__(self) -> None:
        self._waiting = 0
        self._ended = asyncio.Event()
        self._seen: dict[str, tuple[float, str]] = {}
        self._looking = asyncio.Lock()

    def end(self) -> None:
        """End all streams."""
        self._ended.set()

    def stream(
        self, door: Door, request: Request, key: Key, region: str, goes_on: Callable[[], bool]
    ) -> Response:
        """An answer that tells of news in the region for as long as `goes_on` says so."""
        if self._waiting >= MOST or self._ended.is_set():
            # To a browser this is the end: it does not ask again.
            return Response(status_code=204)
        exchange = Exchange(door, request, door.ids.new_id(), door.clock.now_ms())
        exchange.caller, exchange.access, exchange.region = key.id, key.access, region
        return StreamingResponse(
            self._news(door, exchange, goes_on),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _news(
        self, door: Door, exchange: Exchange, goes_on: Callable[[], bool]
    ) -> AsyncIterator[str]:
        self._waiting += 1
        try:
            known = await self._pulse(door, exchange)
            yield "retry: 5000\n\n"
            looks, told = 0, False
            while goes_on():
                try:
                    await asyncio.wait_for(self._ended.wait(), LOOK_SECONDS)
                except TimeoutError:
                    pass
                else:
                    return
                looks += 1
                if told and looks < REST_LOOKS:
                    continue
                found = await self._pulse(door, exchange)
                if found != known:
                    known, looks, told = found, 0, True
                    yield "event: changed\ndata: \n\n"
                elif looks >= BEAT_LOOKS:
                    looks = 0
                    yield ": still here\n\n"
            yield "event: ended\ndata: \n\n"
        finally:
            self._waiting -= 1

    async def _pulse(self, door: Door, exchange: Exchange) -> str:
        """What was last seen of the region: by whoever looked within the last moment."""
        async with self._looking:
            seen_at, text = self._seen.get(exchange.region, (float("-inf"), ""))
            now = door.clock.monotonic()
            if now - seen_at < LOOK_SECONDS / 2:
                return text
            handler = door.own_handlers["pulse"]
            try:
                told = await door.workers.run(partial(handler, exchange.context, {}), reads=True)
                text = str(told.get("pulse"))
            except Exception:  # noqa: BLE001 - the page itself will tell what is wrong
                text = "unknown"
            self._seen[exchange.region] = now, text
            return text
