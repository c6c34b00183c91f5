"""Mooring's own questions: GET /mooring/<question>?<member>=<value>."""

from __future__ import annotations

import json

from mooring.api.dispatch import call
from mooring.api.exchange import Exchange
from mooring.model.errors import UnknownOperationException


async def find_question(exchange: Exchange) -> None:
    """Find the question that the path names; its members are in the query."""
    name = exchange.request.path_params["question"]
    if name not in exchange.door.questions:
        known = ", ".join(exchange.door.questions)
        raise UnknownOperationException(f"There is no question {name[:100]!r}; known: {known}.")
    exchange.operation = name
    exchange.params = dict(exchange.request.query_params)


async def answer_question(exchange: Exchange) -> None:
    """Let the service answer."""
    await call(exchange, exchange.door.questions[exchange.operation])
    exchange.reply = json.dumps(exchange.result).encode()
