"""Lets the service answer."""

from __future__ import annotations

from functools import partial

from mooring.api.exchange import Exchange, Handler


async def dispatch(exchange: Exchange) -> None:
    """Call the operation's handler."""
    await call(exchange, exchange.door.handlers[exchange.operation])


async def call(exchange: Exchange, handler: Handler) -> None:
    """Call the handler in a thread: it waits for disks and databases."""
    exchange.result = await exchange.door.workers.run(
        partial(handler, exchange.context, exchange.params)
    )
