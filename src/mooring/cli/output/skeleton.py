"""Samples of an operation's input and output, for --generate-cli-skeleton."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.protocol.service_model import Operation, ServiceModel, Shape

_KEY = "KeyName"
"""What stands for any key of a map."""


def sample_input(model: ServiceModel, operation: Operation) -> Any:
    """An input to fill in: empty text, zeros, true, and of enumerations the first value."""
    return _sample(model, model.shape(operation.input), None)


def sample_output(model: ServiceModel, operation: Operation) -> Any:
    """An output whose texts are the names of their members."""
    return _sample(model, model.shape(operation.output), "")


def _sample(model: ServiceModel, shape: Shape, name: str | None) -> Any:
    """`name` is the text to use for texts, None for the samples of an input."""
    if shape.type == "structure":
        return {
            member: _sample(model, model.shape(inner), None if name is None else member)
            for member, inner in shape.members.items()
        }
    if shape.type == "list":
        return [_sample(model, model.shape(shape.member), None if name is None else shape.member)]
    if shape.type == "map":
        return {_KEY: _sample(model, model.shape(shape.value), None if name is None else "")}
    if shape.type in {"integer", "long"}:
        return 0
    if shape.type == "float":
        return 0.0
    if shape.type == "boolean":
        return True
    if shape.type == "timestamp":
        from datetime import datetime

        return datetime(1970, 1, 1)  # noqa: DTZ001 - printed without an offset, as aws does
    if name is not None:
        return name
    return shape.enum[0] if shape.enum else ""


def yaml_input(model: ServiceModel, operation: Operation) -> str:
    """The input as YAML, with a remark at every required and every described member."""
    from mooring.cli.help.texts import MEMBERS

    lines: list[str] = []

    def add(shape: Shape, indent: str, lead: str) -> None:
        members = {_KEY: shape.value} if shape.type == "map" else shape.members
        for member, inner_name in members.items():
            inner = model.shape(inner_name)
            remark = "[REQUIRED] " if member in shape.required else ""
            remark = f"{remark}{MEMBERS.get(member, '')}".strip()
            note = f"  # {remark}" if remark else ""
            item = model.shape(inner.member) if inner.type == "list" else None
            if inner.type in {"structure", "map"}:
                lines.append(f"{lead}{member}:{note}")
                add(inner, f"{indent}  ", f"{indent}  ")
            elif item is not None and item.type == "structure":
                lines.append(f"{lead}{member}:{note}")
                add(item, f"{indent}  ", f"{indent}- ")
            elif item is not None:
                lines.append(f"{lead}{member}:{note}")
                lines.append(f"{indent}- {_scalar(_sample(model, item, None))}")
            else:
                lines.append(f"{lead}{member}: {_scalar(_sample(model, inner, None))}{note}")
            lead = indent

    add(model.shape(operation.input), "", "")
    return "\n".join(lines) if lines else "{}"


def _scalar(sample: Any) -> str:
    """A sample as YAML: samples of text are empty, or a word that stands for itself."""
    import json

    return (sample or "''") if isinstance(sample, str) else json.dumps(sample)
