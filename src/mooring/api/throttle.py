"""Refuses callers who ask too much."""

from __future__ import annotations

import structlog

from mooring.api.exchange import Exchange
from mooring.api.places import client_of
from mooring.model.errors import ServiceError, ThrottlingException

log = structlog.get_logger("mooring.api")


async def throttle(exchange: Exchange) -> None:
    """Count the request, unless the server has that passed it on.

    Raises ThrottlingException; clients back off and try again.
    """
    if exchange.passed_by:
        return
    exchange.door.throttles.take(exchange.access.user)


def refuse(exchange: Exchange, error: ServiceError) -> tuple[ServiceError, bool]:
    """The error for a request of which nobody knows who sent it, and whether to keep quiet of it.

    Of too many from one address only the number is written down: whoever has no key must not be
    able to fill a disk with logs.
    """
    client = exchange.request.client
    host = client.host if client else ""
    left_out = exchange.door.throttles.refuse(client_of(host) or host)
    if left_out is None:
        throttled = ThrottlingException(
            "Rate exceeded: throttle.refused_rate limits an address's requests without a valid "
            "signature. Slow down and try again."
        )
        return throttled, True
    if left_out:
        log.warning("requests without a valid signature", source=host, left_out=left_out)
    return error, False
