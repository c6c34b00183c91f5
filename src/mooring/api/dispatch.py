"""Lets the service answer."""

from __future__ import annotations

from functools import partial

from mooring.api.exchange import Exchange, Handler
from mooring.model.access import Need


async def dispatch(exchange: Exchange) -> None:
    """Call the operation's handler."""
    entry = exchange.door.entries.get(exchange.operation)
    reads = entry is not None and entry.need is Need.READ
    await call(exchange, exchange.door.handlers[exchange.operation], reads=reads)


async def call(exchange: Exchange, handler: Handler, *, reads: bool = False) -> None:
    """Call the handler in a thread: it waits for disks and databases."""
    exchange.result = await exchange.door.workers.run(
        partial(handler, exchange.context, exchange.params), reads=reads
    )
