"""Moments in a server's life at which a test lets something die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ARMED = "death-is-armed"
"""The file in the data directory that says that the next time is the one."""


def surround(
    at: Callable[[str], None], owner: object, name: str, before: str | None, after: str | None
) -> None:
    """Tell `at` of the moments before and after a function of `owner`."""
    function: Callable[..., Any] = getattr(owner, name)

    def surrounded(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            at(before)
        result = function(*arguments, **named)
        if after is not None:
            at(after)
        return result

    setattr(owner, name, surrounded)
