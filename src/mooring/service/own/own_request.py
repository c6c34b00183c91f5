"""What a question is, and the members it is asked with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mooring.model.errors import InvalidInputException
from mooring.service.backend import Backend, Params
from mooring.service.context import Context

Answer = dict[str, Any]
Question = Callable[[Backend, Context, Params], Answer]


def member(params: Params, name: str) -> str:
    """A member that the question needs. Raises InvalidInputException."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInputException(f"{name} is required.")
    return value
