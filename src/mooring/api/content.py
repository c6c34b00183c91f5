"""Turns a body into an input, and a result into a body."""

from __future__ import annotations

from mooring.api.exchange import Exchange
from mooring.protocol.parse import parse_request
from mooring.protocol.serialize import serialize_result
from mooring.protocol.validate import validate_input


async def parse(exchange: Exchange) -> None:
    """Read the body as the operation's input."""
    exchange.params = parse_request(exchange.door.model, exchange.operation, exchange.body)


async def validate(exchange: Exchange) -> None:
    """Check the input by its shape."""
    validate_input(exchange.door.model, exchange.operation, exchange.params)


async def serialize(exchange: Exchange) -> None:
    """Write the result as the operation's output."""
    exchange.reply = serialize_result(exchange.door.model, exchange.operation, exchange.result)
