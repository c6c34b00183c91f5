"""Results and errors as they go over the wire."""

from __future__ import annotations

import json
from json.encoder import encode_basestring

from mooring.streams import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from mooring.model.errors import ServiceError
    from mooring.protocol.service_model import ServiceModel, Shape

    Writer = Callable[[Any], str]

CONTENT_TYPE = "application/x-amz-json-1.1"

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Settled(dict):  # type: ignore[type-arg]
    """A structure that does not change any more: its text is kept once it has been written."""

    __slots__ = ("shape", "text")

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self.shape = self.text = ""


def serialize_result(model: ServiceModel, operation: str, result: Mapping[str, Any]) -> bytes:
    """The body of a reply: members in the model's order, None left out.

    Times are given in integer milliseconds and written as seconds with a fraction. Raises
    KeyError for a member that the model does not have: that is a fault of the program.
    """
    return _writer(model, model.operations[operation].output)(result).encode()


def serialize_input(model: ServiceModel, operation: str, params: Mapping[str, Any]) -> bytes:
    """The body of a request, of what `parse_request` makes of one."""
    return _writer(model, model.operations[operation].input)(params).encode()


def serialize_own(model: ServiceModel, answer: Mapping[str, Any]) -> bytes:
    """The body of an answer of Mooring's own, whose operations are written as the API's are."""
    begun = answer.get("operations")
    if begun is None:
        return json.dumps(answer).encode()
    rest = {name: value for name, value in answer.items() if name != "operations"}
    told = json.loads(_writer(model, "OperationList")(begun))
    return json.dumps({"operations": told, **rest}).encode()


def serialize_error(model: ServiceModel, error: ServiceError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error.

    Clients differ in where they look for its type. Some let the last of `code` and `__type` win,
    or fail on nulls: so the header has it, `__type` comes after `code`, nothing is null. Errors
    that the model does not have, such as those of signatures, have no `code` on AWS either. What a
    request sent and the message repeats has control characters only as escapes.
    """
    body = {"__type": error.type, "message": one_line(error.message)}
    if any(error.type in operation.errors for operation in model.operations.values()):
        body = {"code": error.code, **body}
    headers = {"x-amzn-ErrorType": error.type}
    return error.status, headers, json.dumps(body, separators=(",", ":")).encode()


def _writer(model: ServiceModel, name: str) -> Writer:
    """What writes a value of the shape as JSON."""
    known = model.writers
    if name not in known:
        known[name] = _make_writer(model, model.shape(name))
    return known[name]


def _make_writer(model: ServiceModel, shape: Shape) -> Writer:
    if shape.type == "structure":
        return _structure_writer(model, shape)
    if shape.type == "list":
        member = _writer(model, shape.member)
        return lambda value: f"[{','.join(map(member, value))}]"
    if shape.type == "map":
        one = _writer(model, shape.value)
        return lambda value: f"{{{','.join(_dumps(key) + ':' + one(value[key]) for key in value)}}}"
    if shape.type == "timestamp":
        return lambda value: repr(value / 1000)
    if shape.type in ("float", "double"):
        return lambda value: repr(float(value))
    if shape.type == "string":
        return encode_basestring
    return int.__repr__ if shape.type in ("integer", "long") else _dumps


def _structure_writer(model: ServiceModel, shape: Shape) -> Writer:
    members = [
        (name, f"{_dumps(name)}:", _writer(model, member)) for name, member in shape.members.items()
    ]
    names, own = shape.members.keys(), shape.name

    def write(value: Mapping[str, Any]) -> str:
        settled = value if isinstance(value, Settled) else None
        if settled is not None and settled.shape == own:
            return settled.text
        if not value.keys() <= names:
            unknown = ", ".join(sorted(value.keys() - names))
            raise KeyError(f"{own} has no member {unknown}")
        get = value.get
        written = [
            start + writer(found)
            for name, start, writer in members
            if (found := get(name)) is not None
        ]
        text = f"{{{','.join(written)}}}"
        if settled is not None:
            settled.text, settled.shape = text, own
        return text

    return write
