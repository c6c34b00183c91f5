"""Calls by pages of this server: a request's path without its signature."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from structlog.contextvars import bound_contextvars

from mooring.api.auditing import audit, note
from mooring.api.dispatch import call, dispatch
from mooring.api.exchange import Door, Exchange
from mooring.api.reply import error_of, observe
from mooring.api.throttle import refuse, throttle
from mooring.model.errors import (
    AccessDeniedException,
    HostElsewhereException,
    ServiceError,
    UnrecognizedClientException,
)
from mooring.protocol.validate import validate_input
from mooring.service.credentials.keys import Key

SIGN_IN = "SignIn"
"""What a sign-in is called in the log and the audit log."""


def begin(door: Door, request: Request) -> Exchange:
    """An exchange for a page's request."""
    return Exchange(door, request, door.ids.new_id(), door.clock.now_ms())


async def ask(
    door: Door, request: Request, key: Key, region: str, operation: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The answer to an operation, or an own request, that a page asks for its caller.

    Roles, tags, throttles, the audit log and the counts hold as for a request over the wire; its
    members are Python's own values. What another host has to do is passed on. Raises ServiceError.
    """
    began = door.clock.monotonic()
    exchange = begin(door, request)
    exchange.operation, exchange.params = operation, params
    exchange.caller, exchange.access, exchange.region = key.id, key.access, region
    door.note_use(key.id)
    error: ServiceError | None = None
    passed: Mapping[str, Any] | ServiceError | None = None
    with bound_contextvars(request_id=exchange.request_id):
        try:
            try:
                await _do(exchange)
            except HostElsewhereException as needed:
                if door.onward is None:
                    raise
                passed = await door.onward.ask(exchange, key, needed)
        except Exception as exception:  # noqa: BLE001 - answered, and logged if unforeseen
            error = error_of(exchange, exception)
        if passed is None:
            await audit(exchange, error)
        elif isinstance(passed, ServiceError):
            error = passed
        else:
            exchange.result = passed
        observe(exchange, error, door.clock.monotonic() - began)
    if error is not None:
        raise error
    return exchange.result


async def _do(exchange: Exchange) -> None:
    """Have the service answer."""
    door, operation = exchange.door, exchange.operation
    await throttle(exchange)
    if operation in door.own_handlers:
        await note(exchange)
        await call(exchange, door.own_handlers[operation])
    else:
        validate_input(door.model, operation, exchange.params)
        await note(exchange)
        await dispatch(exchange)


def may(door: Door, key: Key, operation: str) -> bool:
    """Whether the key's role allows it: what it does not is not offered."""
    entry = door.entries.get(operation)
    return entry is not None and key.access.role.allows(entry.need)


async def sign_in(door: Door, request: Request, key_id: str, secret: str) -> Key:
    """The key, if the secret is its own. Raises ServiceError; failures are throttled."""
    key = door.find_key(key_id)
    good = key is not None and hmac.compare_digest(key.secret.encode(), secret.encode())
    return await _signed_in(door, request, key if good else None, "the access key or its secret")


async def sign_in_by_link(door: Door, request: Request, key_id: str | None) -> Key:
    """The key that a link is of. Raises ServiceError for a link that is not good."""
    key = None if key_id is None else door.find_key(key_id)
    return await _signed_in(
        door, request, key, "the link, which is good once and for five minutes,"
    )


async def _signed_in(door: Door, request: Request, key: Key | None, what: str) -> Key:
    began = door.clock.monotonic()
    exchange = begin(door, request)
    exchange.operation = SIGN_IN
    error: ServiceError | None = None
    quiet = False
    if key is None:
        wrong = UnrecognizedClientException(f"You are not signed in: {what} is not valid.")
        error, quiet = refuse(exchange, wrong)
    else:
        exchange.caller, exchange.access = key.id, key.access
        try:
            await throttle(exchange)
        except ServiceError as too_many:
            error = too_many
    with bound_contextvars(request_id=exchange.request_id):
        if not quiet:
            await audit(exchange, error, always=True)
        observe(exchange, error, door.clock.monotonic() - began, quiet=quiet)
    if key is None or error is not None:
        raise error or AccessDeniedException("You are not signed in.")
    return key
