"""The rules of resource names: one name space per region."""

from __future__ import annotations

import re

from mooring.model.errors import InvalidInputException

MAX_NAME_LENGTH = 255
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", re.ASCII)


def check_name(name: str) -> str:
    """Return the name, or raise InvalidInputException with the real service's words.

    Names have 2 to 255 characters, begin and end with a letter or digit, and have letters,
    digits, `.`, `-` and `_` between: what the service enforces, not its model's pattern.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidInputException(
            f"{shown(name)} is not a valid resource name. "
            f"Resource names must be at most {MAX_NAME_LENGTH} characters long."
        )
    if not _NAME.fullmatch(name):
        told = name if name.strip() else f"'{name}'"
        raise InvalidInputException(
            f"{told} is not a valid resource name. Resource names must be at least 2 characters "
            "long and contain only alphanumerics, -, _, and ."
        )
    return name


def is_name(text: str) -> bool:
    """Whether a resource can have this name."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def shown(text: str) -> str:
    """What a client sent, as errors repeat it: the beginning only, if it is long."""
    return text if len(text) <= MAX_NAME_LENGTH else f"{text[:40]}..."


def name_taken(names: list[str]) -> InvalidInputException:
    """The error for names that other resources of the region have."""
    return InvalidInputException(f"Some names are already in use: {', '.join(names)}", "NameExists")
