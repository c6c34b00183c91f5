"""Turns what came out of the steps into a reply, and logs it."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import Response

from mooring.api.exchange import Exchange
from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.locks import in_each_others_way
from mooring.model.errors import (
    DiskFullError,
    MethodNotAllowedException,
    OperationFailureException,
    ServiceError,
    ServiceException,
    UnknownOperationException,
)
from mooring.model.names import shown
from mooring.observe import metrics
from mooring.protocol.serialize import serialize_error
from mooring.protocol.service_model import ServiceModel

log = structlog.get_logger("mooring.api")


def error_of(exchange: Exchange, exception: Exception) -> ServiceError:
    """The error to answer with. What was not foreseen is logged, and not shown to the client."""
    if isinstance(exception, ServiceError):
        return exception
    if isinstance(exception, DiskFullError):
        # Not a fault of the server, which clients would ask again and again.
        log.warning("no room", operation=exchange.operation, reason=str(exception))
        return OperationFailureException(sentence(str(exception)), "DiskFull")
    if in_each_others_way(exception):
        log.warning("requests were in each other's way", operation=exchange.operation)
        return ServiceException("Another request was in the way of this one. Please try again.")
    log.error("request failed", operation=exchange.operation, exc_info=exception)
    if isinstance(exception, CATALOG_ERRORS):
        # The reason can hold how to log in; monitors and doctor are told what is fit to tell.
        return ServiceException(
            "The server's catalog cannot be used right now, so this may not have been recorded. "
            "GET /healthz and `mooringd doctor` say why."
        )
    return ServiceException(
        f"An internal error occurred. The server's log has it under {exchange.request_id}."
    )


def sentence(text: str) -> str:
    """The text as a message for people."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def reply(exchange: Exchange, error: ServiceError | None, content_type: str) -> Response:
    """The reply to send."""
    if error is None:
        response = Response(exchange.reply, 200, media_type=content_type)
    else:
        status, headers, body = serialize_error(exchange.door.model, error)
        if isinstance(error, MethodNotAllowedException):
            headers["Allow"] = error.allowed
        response = Response(body, status, headers, media_type=content_type)
    close_unread(exchange, response)
    return response


def not_served(model: ServiceModel, request: Request) -> Response:
    """The answer to a request that no operation or own request is asked by."""
    error = UnknownOperationException(
        f"{request.method} {shown(request.scope['path'])} is not served: clients POST their "
        f"requests, with the header X-Amz-Target: {model.target_prefix}.<Operation>."
    )
    _, headers, body = serialize_error(model, error)
    return Response(body, 404, headers, media_type="application/json")


def close_unread(exchange: Exchange, response: Response) -> None:
    """Let the connection end after the response if a part of the request's body is left."""
    if not exchange.body_is_read:
        # It would be taken for the next request.
        response.headers["Connection"] = "close"


def observe(
    exchange: Exchange, error: ServiceError | None, seconds: float, *, quiet: bool = False
) -> None:
    """Count the request, and log it unless `quiet`.

    Errors of signatures repeat them, so no message is logged.
    """
    failed = "" if error is None else error.type
    metrics.request_done(exchange.operation, failed, seconds)
    if quiet:
        return
    log.info(
        "request",
        operation=exchange.operation,
        region=exchange.region,
        caller=exchange.caller,
        status=200 if error is None else error.status,
        error=failed or None,
        milliseconds=round(seconds * 1000, 2),
    )
