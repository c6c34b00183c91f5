"""Finds the operation that a request is for."""

from __future__ import annotations

import re

from starlette.requests import Request

from mooring.api.exchange import Exchange
from mooring.model.errors import (
    InvalidInputException,
    SerializationException,
    UnknownOperationException,
)
from mooring.protocol.serialize import CONTENT_TYPE
from mooring.service.differences import why_not_served

_SHOWN = 100
"""Characters of what a client sent that an error repeats, at most."""


_OURS = re.compile(r"/(mooring/.*|console(/.*)?|metrics|healthz)", re.DOTALL)
"""Paths that no operation is called on."""


def is_call(request: Request) -> bool:
    """Whether a POST calls an operation, whatever its path.

    AWS finds the operation by the header alone. Clients made from the service's model post to
    `/ls/api/2016-11-28/<Operation>`, others to `/`, and an endpoint can have a prefix.
    """
    return "x-amz-target" in request.headers and not _OURS.fullmatch(request.scope["path"])


async def check_content_type(exchange: Exchange) -> None:
    """Refuse what is not AWS JSON 1.1."""
    require_content_type(exchange, CONTENT_TYPE)


def require_content_type(exchange: Exchange, wanted: str) -> None:
    """Raise SerializationException if the body is said to be something else."""
    given = exchange.request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != wanted:
        raise SerializationException(f"The Content-Type must be {wanted}, not {given[:_SHOWN]!r}.")


async def find_operation(exchange: Exchange) -> None:
    """Find the operation that the target header names, served or not."""
    model = exchange.door.model
    target = exchange.request.headers.get("x-amz-target", "")
    prefix, _, operation = target.partition(".")
    if prefix != model.target_prefix:
        raise UnknownOperationException(
            f"X-Amz-Target must be {model.target_prefix}.<Operation>, not {target[:_SHOWN]!r}."
        )
    if operation not in model.operations and operation not in model.unserved:
        raise UnknownOperationException(
            f"Lightsail has no operation {operation[:_SHOWN]!r}, as far as Mooring knows."
        )
    exchange.operation = operation


async def refuse_unserved(exchange: Exchange) -> None:
    """Say so when Lightsail has the operation and Mooring has not."""
    if exchange.operation in exchange.door.model.unserved:
        reason = why_not_served(exchange.operation)
        raise InvalidInputException(
            f"Mooring does not serve {exchange.operation}. {reason + '. ' if reason else ''}"
            "It serves disks, their snapshots, and instances to attach disks to: "
            "`mooring help` lists the operations.",
            "UnsupportedOperation",
        )
