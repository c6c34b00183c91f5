"""Checks parameters as botocore does before sending, in its words.

The command line prints these texts, so they are the same to the letter as those
of botocore's `ParamValidator`: types, required and unknown members, minima.
Patterns, enums and maxima are the service's to check.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.protocol.service_model import Operation, ServiceModel, Shape

_TYPES = {
    "structure": ("<class 'dict'>",),
    "map": ("<class 'dict'>",),
    "list": ("<class 'list'>", "<class 'tuple'>"),
    "string": ("<class 'str'>",),
    "integer": ("<class 'int'>",),
    "long": ("<class 'int'>",),
    "float": ("<class 'float'>", "<class 'decimal.Decimal'>", "<class 'int'>"),
    "boolean": ("<class 'bool'>",),
    "timestamp": ("<class 'datetime.datetime'>", "timestamp-string"),
}


def report(model: ServiceModel, operation: Operation, parameters: Any) -> str:
    """What is wrong with the parameters, one problem a line; empty if nothing is.

    botocore puts "Parameter validation failed:" on a line of its own before it.
    """
    problems: list[str] = []
    _check(model, model.shape(operation.input), parameters, "", problems)
    return "\n".join(problems)


def known(model: ServiceModel, shape: Shape, value: Any) -> Any:
    """What botocore sends of a value that it was told not to check: all but members that are None.

    Raises KeyError for a member that the model does not have.
    """
    if shape.type == "structure" and isinstance(value, dict):
        return {
            name: known(model, model.shape(shape.members[name]), inner)
            for name, inner in value.items()
            if inner is not None
        }
    if shape.type == "list" and isinstance(value, list | tuple):
        return [known(model, model.shape(shape.member), item) for item in value]
    return value


def _check(model: ServiceModel, shape: Shape, value: Any, name: str, problems: list[str]) -> None:
    if not _has_type(value, shape.type):
        problems.append(
            f"Invalid type for parameter {_shown(name)}, value: {value}, type: {type(value)}, "
            f"valid types: {', '.join(_TYPES[shape.type])}"
        )
    elif shape.type == "structure":
        _check_structure(model, shape, value, name, problems)
    elif shape.type == "list":
        _check_length(shape, value, name, problems)
        member = model.shape(shape.member)
        for index, item in enumerate(value):
            _check(model, member, item, f"{name}[{index}]", problems)
    elif shape.type == "map":
        for key, item in value.items():
            _check(model, model.shape(shape.key), key, f"{name} (key: {key})", problems)
            _check(model, model.shape(shape.value), item, f"{name}.{key}", problems)
    elif shape.type == "string":
        _check_length(shape, value, name, problems)
    elif shape.type in {"integer", "long", "float"}:
        _check_range(shape, value, name, problems)


def _check_structure(
    model: ServiceModel, shape: Shape, value: dict[str, Any], name: str, problems: list[str]
) -> None:
    problems.extend(
        f'Missing required parameter in {_shown(name)}: "{member}"'
        for member in shape.required
        if member not in value
    )
    problems.extend(
        f'Unknown parameter in {_shown(name)}: "{member}", '
        f"must be one of: {', '.join(shape.members)}"
        for member in value
        if member not in shape.members
    )
    for member, item in value.items():
        if member in shape.members:
            _check(model, model.shape(shape.members[member]), item, f"{name}.{member}", problems)


def _check_length(shape: Shape, value: Any, name: str, problems: list[str]) -> None:
    if shape.min is not None and len(value) < shape.min:
        problems.append(
            f"Invalid length for parameter {_shown(name)}, value: {len(value)}, "
            f"valid min length: {shape.min}"
        )


def _check_range(shape: Shape, value: float, name: str, problems: list[str]) -> None:
    if shape.min is not None and value < shape.min:
        problems.append(
            f"Invalid value for parameter {_shown(name)}, value: {value}, "
            f"valid min value: {shape.min}"
        )


def _has_type(value: Any, wanted: str) -> bool:
    if wanted in {"structure", "map"}:
        return isinstance(value, dict)
    if wanted == "list":
        return isinstance(value, (list, tuple))
    if wanted == "string":
        return isinstance(value, str)
    if wanted in {"integer", "long"}:
        return isinstance(value, int)  # True and False too: botocore lets them pass
    if wanted == "boolean":
        return isinstance(value, bool)
    if wanted == "float":
        return isinstance(value, (int, float)) or type(value).__name__ == "Decimal"
    return isinstance(value, (str, int, float)) or type(value).__name__ == "datetime"


def _shown(name: str) -> str:
    return name.lstrip(".") or "input"
