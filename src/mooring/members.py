"""The members of dataclasses, without copies of what they hold."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any


@cache
def member_names(kind: Any) -> tuple[str, ...]:
    """The names of the fields of a dataclass, in their order."""
    return tuple(field.name for field in fields(kind))


def members(value: Any) -> dict[str, Any]:
    """The fields of a dataclass with what they hold; `dataclasses.asdict` copies all of that."""
    return {name: getattr(value, name) for name in member_names(value.__class__)}
