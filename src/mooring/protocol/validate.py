"""Checks an input against its shape, on the server, in AWS's words.

What is checked: required members, enums, minima and maxima, and that no text is empty where the
model's pattern needs one. What breaks one of them is
`InvalidInputException`: it is the only one of Lightsail's modelled errors that fits, so typed
clients can catch it; the text is the one that AWS's JSON services share. Else patterns are not
checked: the model's `ResourceName` pattern forbids periods, which the service allows; the rules
for names are in model/names.py.
"""

from __future__ import annotations

import re

from mooring.model.counts import counted
from mooring.model.errors import InvalidInputException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from mooring.protocol.service_model import ServiceModel, Shape

_LONGEST_SHOWN = 100


def validate_input(model: ServiceModel, operation: str, parameters: Mapping[str, Any]) -> None:
    """Check what `parse_request` gave. Raises InvalidInputException, which names every problem."""
    shape = model.shape(model.operations[operation].input)
    problems = list(_problems(model, shape, parameters, ""))
    if problems:
        errors = counted(len(problems), "validation error")
        raise InvalidInputException(f"{errors} detected: {'; '.join(problems)}")


def _problems(model: ServiceModel, shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type == "structure":
        for member in shape.required:
            if member not in value:
                yield _failed(None, f"{path}{member}", "Member must not be null")
        for member, item in value.items():
            inner = model.shape(shape.members[member])
            yield from _problems(model, inner, item, f"{path}{member}.")
    elif shape.type == "list":
        yield from _out_of_bounds(shape, value, len(value), path, "length ")
        for number, item in enumerate(value, start=1):
            yield from _problems(model, model.shape(shape.member), item, f"{path}{number}.member.")
    elif shape.type == "map":
        for key, item in value.items():
            yield from _problems(model, model.shape(shape.value), item, f"{path}{key}.member.")
    elif shape.type == "string":
        yield from _out_of_bounds(shape, value, len(value), path, "length ")
        if value == "" and _needs_text(shape):
            constraint = f"Member must satisfy regular expression pattern: {shape.pattern}"
            yield _failed(value, path, constraint)
        if shape.enum and value not in shape.enum:
            constraint = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
            yield _failed(value, path, constraint)
    elif shape.type in {"integer", "long", "float"}:
        yield from _out_of_bounds(shape, value, value, path, "value ")


def _needs_text(shape: Shape) -> bool:
    return shape.pattern is not None and re.search(shape.pattern, "") is None


def _out_of_bounds(shape: Shape, value: Any, measure: float, path: str, what: str) -> Iterator[str]:
    if shape.min is not None and measure < shape.min:
        constraint = f"Member must have {what}greater than or equal to {shape.min}"
        yield _failed(value, path, constraint)
    if shape.max is not None and measure > shape.max:
        yield _failed(value, path, f"Member must have {what}less than or equal to {shape.max}")


def _failed(value: Any, path: str, constraint: str) -> str:
    shown = "null"
    if value is not None:
        text = str(value)
        shown = f"'{text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}'"
    return f"Value {shown} at '{path.rstrip('.')}' failed to satisfy constraint: {constraint}"
