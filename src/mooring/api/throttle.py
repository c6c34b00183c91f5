"""Sends away who asks too much."""

from __future__ import annotations

from mooring.api.exchange import Exchange


async def throttle(exchange: Exchange) -> None:
    """Count the request. Raises ThrottlingException; clients back off and try again."""
    exchange.door.throttles.take(exchange.access.user)
