"""Holds answers against the client's own service model, strictly.

The clients drop what they do not know, so that their parsing shows little; here every member
must be known, of its type, and one of the values that its enum names.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import botocore.session

from mooring.service.own import fencing, forks, growth, imports, moves, reverts

OWN_TYPES = {
    fencing.OF_DISK,
    fencing.OF_INSTANCE,
    forks.DISK,
    forks.INSTANCE,
    growth.OPERATION,
    imports.OPERATION,
    moves.OF_DISK,
    moves.OF_INSTANCE,
    reverts.OPERATION,
}
"""The types of operations that Mooring alone has."""

NOT_IN_THE_ENUM = {
    "OperationType": {
        "CopySnapshot",
        "CreateKeyPair",
        "DeleteAutoSnapshot",
        "DeleteKeyPair",
        "ExportSnapshot",
        "ImportKeyPair",
        "TagResource",
        "UntagResource",
        *OWN_TYPES,
    },
    "NetworkProtocol": {"-1"},
}
"""What the real service answers although its model does not list it, and Mooring's own."""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
}


@cache
def model() -> Any:
    """botocore's model of the service."""
    return botocore.session.Session().get_service_model("lightsail")


def errors_of(operation: str) -> set[str]:
    """The names of the errors that the model gives an operation."""
    return {shape.name for shape in model().operation_model(operation).error_shapes}


def check_answer(operation: str, body: str) -> list[str]:
    """What is wrong with the body of an answer; empty if nothing is."""
    shape = model().operation_model(operation).output_shape
    return list(_problems(shape, json.loads(body), operation))


def _problems(shape: Any, value: Any, where: str) -> list[str]:
    wanted: Any = _TYPES[shape.type_name]
    number = isinstance(value, bool) and shape.type_name != "boolean"
    if number or not isinstance(value, wanted):
        return [f"{where}: {value!r} is not of type {shape.type_name}"]
    found: list[str] = []
    if shape.type_name == "structure":
        found += [
            f"{where}: {name} is not in the model" for name in value.keys() - shape.members.keys()
        ]
        found += [f"{where}: {name} is missing" for name in shape.required_members - value.keys()]
        for name in value.keys() & shape.members.keys():
            found += _problems(shape.members[name], value[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            found += _problems(shape.member, item, f"{where}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            found += _problems(shape.value, item, f"{where}.{key}")
    elif shape.type_name == "string":
        enum = getattr(shape, "enum", [])
        if enum and value not in enum and value not in NOT_IN_THE_ENUM.get(shape.name, ()):
            found.append(f"{where}: {value!r} is not one of {', '.join(enum)}")
    return found
