"""The service model as data: operations and shapes, trimmed from botocore's.

`tools/trim_service_model.py` makes the file. Loaded by the server and by every
run of the command line, so this module imports next to nothing.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Shape:
    """One shape.

    `type` is structure, list, map, string, integer, long, float, boolean or timestamp. `members`
    are the names of a structure's members' shapes; `member`, `key` and `value` those of a list's
    and a map's.
    """

    __slots__ = ("enum", "key", "max", "member", "members", "min", "name", "pattern",
                 "required", "type", "value")  # fmt: skip

    def __init__(self, name: str, data: dict) -> None:  # type: ignore[type-arg]
        self.name = name
        self.type: str = data["type"]
        self.members: dict[str, str] = data.get("members", {})
        self.required: list[str] = data.get("required", [])
        self.member: str = data.get("member", "")
        self.key: str = data.get("key", "")
        self.value: str = data.get("value", "")
        self.enum: list[str] = data.get("enum", [])
        self.min: int | None = data.get("min")
        self.max: int | None = data.get("max")
        self.pattern: str | None = data.get("pattern")


class Operation:
    """One operation: its name and the names of its shapes."""

    __slots__ = ("errors", "input", "name", "output", "pagination")

    def __init__(self, name: str, data: dict) -> None:  # type: ignore[type-arg]
        self.name = name
        self.input: str = data["input"]
        self.output: str = data["output"]
        self.errors: list[str] = data["errors"]
        self.pagination: dict[str, str] | None = data.get("pagination")


class ServiceModel:
    """All operations served, by name, and the shapes they use, by name."""

    def __init__(self, data: dict) -> None:  # type: ignore[type-arg]
        self.target_prefix: str = data["targetPrefix"]
        self.json_version: str = data["jsonVersion"]
        self.signing_name: str = data["signingName"]
        self.operations = {name: Operation(name, op) for name, op in data["operations"].items()}
        self.unserved: frozenset[str] = frozenset(data["unserved"])
        self._data: dict[str, dict] = data["shapes"]  # type: ignore[type-arg]
        self._shapes: dict[str, Shape] = {}
        self.writers: dict[str, Callable[[Any], str]] = {}
        """Kept by serialize.py, by shape: to look each shape up for each value takes longer."""

    def shape(self, name: str) -> Shape:
        """The shape of that name. Raises KeyError."""
        shape = self._shapes.get(name)
        if shape is None:
            shape = self._shapes[name] = Shape(name, self._data[name])
        return shape

    def shape_names(self) -> list[str]:
        return list(self._data)


def load() -> ServiceModel:
    """Read the model from the file beside this module, which may be in a zip archive."""
    path = os.path.join(os.path.dirname(__file__), "service_model.json")  # noqa: PTH118, PTH120
    # Every loader of a program has this; importlib.resources would cost each command its import.
    return ServiceModel(json.loads(__spec__.loader.get_data(path)))  # type: ignore[union-attr]
