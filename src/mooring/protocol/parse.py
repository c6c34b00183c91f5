"""A request's body as the operation's input, checked by type.

As on AWS, members that the model does not have are ignored, so that newer clients work, and null
counts as absent. An empty body is an empty input. Protocols of networks are taken as AWS's own
examples write them, `TCP`, and as answers do, `-1`.
"""

from __future__ import annotations

import json
import math

from mooring.model.errors import SerializationException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.protocol.service_model import ServiceModel, Shape

INTEGER_MIN, INTEGER_MAX = -(2**31), 2**31 - 1
ANY_CASE = {"NetworkProtocol": {"-1": "all"}}
"""Enums whose values are taken in any case, with other words for some of them."""

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1


def parse_request(model: ServiceModel, operation: str, body: bytes) -> dict[str, Any]:
    """The input's members; timestamps as integer milliseconds.

    Raises SerializationException when the body is not JSON, or a type does not fit.
    """
    return parse_members(model, model.shape(model.operations[operation].input), read_object(body))


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises SerializationException."""
    try:
        document = json.loads(body.decode("utf-8") or "{}", parse_constant=_refuse_constant)
    except RecursionError:
        raise SerializationException("The request body is nested too deeply.") from None
    except ValueError as error:
        # What json says names the place; what decoding says would repeat the body.
        why = f": {error}" if isinstance(error, json.JSONDecodeError) else "."
        raise SerializationException(f"The request body is not valid JSON{why}") from None
    if not isinstance(document, dict):
        raise SerializationException("The request body must be a JSON object.")
    return document


def parse_members(model: ServiceModel, shape: Shape, document: dict[str, Any]) -> dict[str, Any]:
    """The members of a structure. Raises SerializationException when a type does not fit."""
    parsed = _parse(model, shape, document, "")
    assert isinstance(parsed, dict)
    return parsed


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _parse(model: ServiceModel, shape: Shape, value: Any, where: str) -> Any:
    if shape.type == "structure":
        _require(value, dict, where, "an object")
        return {
            name: _parse(model, model.shape(member), value[name], f"{where}.{name}".lstrip("."))
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type == "list":
        _require(value, list, where, "a list")
        member = model.shape(shape.member)
        return [
            _parse(model, member, _not_null(one, f"{where}[{index}]"), f"{where}[{index}]")
            for index, one in enumerate(value)
        ]
    if shape.type == "map":
        _require(value, dict, where, "an object")
        member = model.shape(shape.value)
        return {
            name: _parse(model, member, _not_null(one, f"{where}.{name}"), f"{where}.{name}")
            for name, one in value.items()
        }
    return _parse_scalar(shape, value, where)


def _parse_scalar(shape: Shape, value: Any, where: str) -> Any:
    if shape.type == "string":
        _require(value, str, where, "a string")
        if not value.isascii():
            _refuse_surrogates(value, where)
        return _in_the_enum(shape, value) if shape.name in ANY_CASE else value
    if shape.type == "boolean":
        _require(value, bool, where, "true or false")
        return value
    if shape.type in ("integer", "long"):
        low, high = (INTEGER_MIN, INTEGER_MAX) if shape.type == "integer" else (LONG_MIN, LONG_MAX)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        _require(value, int, where, "a whole number")
        if not low <= value <= high:
            raise SerializationException(f"{where} must be {low} to {high}, not {value}.")
        return value
    return _parse_number(value, where, 1000 if shape.type == "timestamp" else None)


def _in_the_enum(shape: Shape, value: str) -> str:
    """The value as the enum writes it; as it is if the enum does not have it."""
    meant = ANY_CASE[shape.name].get(value, value).lower()
    return meant if meant in shape.enum else value


def _parse_number(value: Any, where: str, scale: int | None) -> float:
    """A float, or with a scale the whole number nearest to its multiple."""
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise SerializationException(f"{where} must be a number.")
    return number if scale is None else round(number * scale)


def _not_null(value: Any, where: str) -> Any:
    """Leaving nulls out would change which element is which."""
    if value is None:
        raise SerializationException(f"{where} must not be null.")
    return value


def _require(value: Any, wanted: type, where: str, name: str) -> None:
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise SerializationException(f"{where or 'The input'} must be {name}.")


def _refuse_surrogates(value: str, where: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise SerializationException(f"{where} is not valid Unicode.") from None
