"""Results and errors as they go over the wire."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from mooring.model.errors import ServiceError
    from mooring.protocol.service_model import ServiceModel, Shape

    Writer = Callable[[Any], Any]

CONTENT_TYPE = "application/x-amz-json-1.1"


def serialize_result(model: ServiceModel, operation: str, result: Mapping[str, Any]) -> bytes:
    """The body of a reply: members in the model's order, None left out.

    Times are given in integer milliseconds and written as seconds with a fraction. Raises
    KeyError for a member that the model does not have: that is a fault of the program.
    """
    writer = _writer(model, model.operations[operation].output)
    document = result if writer is None else writer(result)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def serialize_error(model: ServiceModel, error: ServiceError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error.

    Clients differ in where they look for its type. Some let the last of `code` and `__type` win,
    or fail on nulls: so the header has it, `__type` comes after `code`, nothing is null. Errors
    that the model does not have, such as those of signatures, have no `code` on AWS either.
    """
    body = {"__type": error.type, "message": error.message}
    if any(error.type in operation.errors for operation in model.operations.values()):
        body = {"code": error.code, **body}
    headers = {"x-amzn-ErrorType": error.type}
    return error.status, headers, json.dumps(body, separators=(",", ":")).encode()


def _writer(model: ServiceModel, name: str) -> Writer | None:
    """What turns a value of the shape into what JSON can hold; None if it is that already."""
    known = model.writers
    if name not in known:
        known[name] = _make_writer(model, model.shape(name))
    return known[name]


def _make_writer(model: ServiceModel, shape: Shape) -> Writer | None:
    if shape.type == "structure":
        return _structure_writer(model, shape)
    if shape.type == "list":
        member = _writer(model, shape.member)
        return list if member is None else lambda value: [member(one) for one in value]
    if shape.type == "map":
        one = _writer(model, shape.value)
        return dict if one is None else lambda value: {key: one(value[key]) for key in value}
    if shape.type == "timestamp":
        return lambda value: value / 1000
    if shape.type in ("float", "double"):
        return float
    return None


def _structure_writer(model: ServiceModel, shape: Shape) -> Writer:
    members = [(name, _writer(model, member)) for name, member in shape.members.items()]
    names = shape.members.keys()

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        if not value.keys() <= names:
            unknown = ", ".join(sorted(value.keys() - names))
            raise KeyError(f"{shape.name} has no member {unknown}")
        get = value.get
        return {
            name: found if writer is None else writer(found)
            for name, writer in members
            if (found := get(name)) is not None
        }

    return write
