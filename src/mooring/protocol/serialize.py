"""Results and errors as they go over the wire."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mooring.model.errors import ServiceError
    from mooring.protocol.service_model import ServiceModel, Shape

CONTENT_TYPE = "application/x-amz-json-1.1"


def serialize_result(model: ServiceModel, operation: str, result: Mapping[str, Any]) -> bytes:
    """The body of a reply: members in the model's order, None left out.

    Times are given in integer milliseconds and written as seconds with a fraction. Raises
    KeyError for a member that the model does not have: that is a fault of the program.
    """
    shape = model.shape(model.operations[operation].output)
    document = _serialize(model, shape, result)
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


def _serialize(model: ServiceModel, shape: Shape, value: Any) -> Any:
    if shape.type == "structure":
        unknown = value.keys() - shape.members.keys()
        if unknown:
            raise KeyError(f"{shape.name} has no member {', '.join(sorted(unknown))}")
        return {
            name: _serialize(model, model.shape(member), value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type == "list":
        member = model.shape(shape.member)
        return [_serialize(model, member, one) for one in value]
    if shape.type == "map":
        member = model.shape(shape.value)
        return {name: _serialize(model, member, one) for name, one in value.items()}
    if shape.type == "timestamp":
        return value / 1000
    if shape.type in ("float", "double"):
        return float(value)
    return value
