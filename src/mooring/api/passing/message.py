"""What is sent on: a client's request as it came, or a page's question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from mooring.api.exchange import Exchange
from mooring.api.own import JSON
from mooring.api.passing.connections import Answer
from mooring.api.passing.seal import HEADER, SEAL
from mooring.api.signature import target_of
from mooring.model.errors import SerializationException, ServiceError, ServiceException
from mooring.protocol.parse import parse_members, read_object
from mooring.protocol.serialize import CONTENT_TYPE, serialize_input
from mooring.protocol.sigv4 import sign
from mooring.service.credentials.keys import Key

_HOP_BY_HOP = {
    b"connection",
    b"content-length",
    b"expect",
    b"keep-alive",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    HEADER.encode(),
    SEAL.encode(),
}


@dataclass(frozen=True, slots=True)
class Message:
    """A request, but for what its way to the host adds."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    signature: str


def of_client(exchange: Exchange) -> Message:
    """The request as it came, with its client's signature."""
    request = exchange.request
    headers = [one for one in request.headers.raw if one[0].lower() not in _HOP_BY_HOP]
    signature = request.headers.get("authorization", "")
    return Message(request.method, target_of(request), headers, exchange.body, signature)


def of_page(exchange: Exchange, key: Key) -> Message:
    """What a page asks for, signed with the key of its visitor, who might have sent it so."""
    door, params = exchange.door, exchange.params
    headers = {"Host": exchange.request.headers.get("host", "")}
    method, target, body = "POST", "/", b""
    own = door.own_requests.get(exchange.operation)
    if own is None:
        headers["Content-Type"] = CONTENT_TYPE
        headers["X-Amz-Target"] = f"{door.model.target_prefix}.{exchange.operation}"
        body = serialize_input(door.model, exchange.operation, params)
    else:
        method, target = own.method, f"/mooring/{exchange.operation}"
        if own.acts:
            headers["Content-Type"] = JSON
            body = json.dumps(params).encode()
        else:
            target += f"?{urlencode(params)}"
    moment = datetime.fromtimestamp(door.clock.now_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    region, service = exchange.region, door.model.signing_name
    headers |= sign(method, target, headers, body, key.id, key.secret, region, service, moment)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Message(method, target.encode(), raw, body, headers["Authorization"])


def read_answer(exchange: Exchange, answer: Answer) -> Mapping[str, Any] | ServiceError:
    """What the host answered to a page, as if it had been done here: members, or the error."""
    model = exchange.door.model
    try:
        document = read_object(answer.body)
        if answer.status != 200:
            return _error(document)
        if exchange.operation not in exchange.door.own_requests:
            shape = model.shape(model.operations[exchange.operation].output)
            return parse_members(model, shape, document)
        if "operations" in document:
            shape = model.shape("Operation")
            begun = [parse_members(model, shape, one) for one in document["operations"]]
            document["operations"] = begun
    except SerializationException as error:
        return ServiceException(f"The host's answer is not understood: {error.message}")
    return document


def _error(document: Mapping[str, Any]) -> ServiceError:
    name, message = document.get("__type"), str(document.get("message", ""))
    found = (one for one in _errors(ServiceError) if one.__name__ == name)
    return next(found, ServiceException)(message, document.get("code"))


def _errors(of: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """All errors that are made of a message and a code."""
    for one in of.__subclasses__():
        if one.__init__ is ServiceError.__init__:
            yield one
        yield from _errors(one)
