"""Reads what the server answered: the model's members, or an error."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mooring.cli.connection.transport import Reply
    from mooring.protocol.service_model import Operation, ServiceModel, Shape

_THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "ProvisionedThroughputExceededException",
}
_RETRIED_STATUSES = {429, 500, 502, 503, 504, 509}


class Failure:
    """An error of the service: its code and its message."""

    __slots__ = ("code", "message", "status")

    def __init__(self, code: Any, message: Any, status: int) -> None:
        self.code = code
        self.message = message
        self.status = status

    @property
    def is_worth_retrying(self) -> bool:
        """What botocore's legacy mode retries."""
        return self.status in _RETRIED_STATUSES or (self.status == 400 and self.code in _THROTTLES)


def wire_time(value: Any) -> Any:
    """A timestamp exactly as the server sent it."""
    return value


def iso_time(value: Any) -> str:
    """A timestamp in ISO 8601, in local time with its offset. Raises ValueError."""
    from datetime import datetime

    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return datetime.fromisoformat(value).isoformat()
    return datetime.fromtimestamp(value).astimezone().isoformat()


def failure(reply: Reply) -> Failure | None:
    """The error that the reply tells of, or None. Statuses from 300 on are errors."""
    status = reply.status
    if status < 300:
        return None
    if status == 300:
        return Failure("Unknown", "Unknown", status)
    stripped = reply.body.strip()
    if status >= 500 and (not stripped or stripped.startswith(b"<html>")):
        return Failure(str(status), _reason(status), status)
    body = _decoded(reply.body)
    code = body.get("__type", str(status))
    if code is None:
        code = ""
    elif ":" in code or "#" in code:
        code = code.split(":", 1)[0].rpartition("#")[2]
    return Failure(code, body.get("message", body.get("Message", "")), status)


def result(
    model: ServiceModel, operation: Operation, reply: Reply, read_time: Callable[[Any], Any]
) -> Any:
    """The answer's members that the model knows, in its order; null members are left out."""
    return _read(model, model.shape(operation.output), _decoded(reply.body), read_time)


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _decoded(body: bytes) -> Any:
    if not body:
        return {}
    text = body.decode("utf-8")
    try:
        return json.loads(text)
    except ValueError:
        return {"message": text}


def _read(model: ServiceModel, shape: Shape, value: Any, read_time: Callable[[Any], Any]) -> Any:
    if shape.type == "structure":
        if value is None:
            return None
        members = {}
        for name, member in shape.members.items():
            inner = value.get(name)
            if inner is not None:
                members[name] = _read(model, model.shape(member), inner, read_time)
        return members
    if shape.type == "list":
        member_shape = model.shape(shape.member)
        return [_read(model, member_shape, item, read_time) for item in value]
    if shape.type == "timestamp":
        return read_time(value)
    return value
