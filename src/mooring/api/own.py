"""Requests of Mooring's own: questions by GET, actions by POST, below /mooring/."""

from __future__ import annotations

from mooring.api.dispatch import call
from mooring.api.exchange import Exchange
from mooring.api.target import require_content_type
from mooring.model.errors import (
    InvalidInputException,
    MethodNotAllowedException,
    UnknownOperationException,
)
from mooring.model.names import shown
from mooring.protocol.parse import parse_members, read_object
from mooring.protocol.serialize import serialize_own
from mooring.protocol.service_model import Shape

JSON = "application/json"

ONLY_IN_DEVELOPMENT = frozenset({"reset", "hold", "release", "fail", "advance", "lose"})
"""What a server that keeps nothing answers beside; see development/requests.py."""

_SHOWN = 100
"""Characters of what a client sent that an error repeats, at most."""


async def find_own(exchange: Exchange) -> None:
    """Find the request that the path names, and see that it is made as it must be.

    An action that was sent otherwise than as JSON may be a form of somebody else's page, which a
    browser sends without asking.
    """
    name = exchange.request.path_params["name"]
    found = exchange.door.own_requests.get(name)
    if found is None and name in ONLY_IN_DEVELOPMENT:
        raise UnknownOperationException(
            f"{name} is for tests: only `mooringd serve --development` answers it."
        )
    if found is None:
        known = ", ".join(exchange.door.own_requests)
        raise UnknownOperationException(
            f"Mooring has no request {name[:_SHOWN]!r} of its own; known: {known}."
        )
    exchange.operation = name
    if found.acts != (exchange.request.method == "POST"):
        changes = "changes something" if found.acts else "only asks"
        how = "POST, with members as a JSON object" if found.acts else "GET, with members as query"
        raise MethodNotAllowedException(
            f"{name} {changes}, so it must be a {how}, not a {exchange.request.method}.",
            allowed=found.method,
        )
    if found.acts:
        require_content_type(exchange, JSON)


async def parse_own(exchange: Exchange) -> None:
    """Read the members: a question's from the query, an action's from the body."""
    members = exchange.door.own_requests[exchange.operation].members
    document = dict(exchange.request.query_params)
    if exchange.request.method == "POST":
        if document:
            raise InvalidInputException(
                f"{exchange.operation} takes its members in the body, as JSON, not in the query."
            )
        document = read_object(exchange.body)
    for name in document:
        if name not in members:
            known = ", ".join(members) or "none"
            raise InvalidInputException(
                f"{exchange.operation} has no member {shown(name[:_SHOWN])}; known: {known}."
            )
    shape = Shape(exchange.operation, {"type": "structure", "members": members})
    exchange.params = parse_members(exchange.door.model, shape, document)


async def dispatch_own(exchange: Exchange) -> None:
    """Let the service answer."""
    await call(exchange, exchange.door.own_handlers[exchange.operation])
    exchange.reply = serialize_own(exchange.door.model, exchange.result)
