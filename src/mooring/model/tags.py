"""The rules of tags: up to 50 keys with optional values on a resource."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mooring.model.automatic.rhythm import EXAMPLE, RHYTHMS_TAG
from mooring.model.errors import InvalidInputException

Tags = Mapping[str, str | None]

MAX_TAGS = 50
MAX_KEY_LENGTH = 128
MAX_VALUE_LENGTH = 256
_ALLOWED = re.compile(r"(?:[\w+\-=.:/@]|[^\S\t-\r\x1c-\x1f\x85])*")
"""Letters and digits of any script, and spaces of any width, but no line breaks or tabs."""


def read_tags(items: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """Turn a TagList into a mapping. Raises InvalidInputException; the last of equal keys wins."""
    tags = {str(item.get("key", "")): item.get("value") for item in items}
    for key, value in tags.items():
        _check_tag(key, value)
    return check_count(tags)


def check_count(tags: dict[str, str | None]) -> dict[str, str | None]:
    """Return the tags, or raise InvalidInputException when they are too many."""
    if len(tags) > MAX_TAGS:
        raise InvalidInputException(
            f"A resource can have at most {MAX_TAGS} tags; this makes {len(tags)}."
        )
    return tags


def _check_tag(key: str, value: str | None) -> None:
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidInputException(
            f"The tag key {key[:40]!r} must have 1 to {MAX_KEY_LENGTH} characters."
        )
    if len(value or "") > MAX_VALUE_LENGTH:
        raise InvalidInputException(
            f"The value of the tag {key} must have at most {MAX_VALUE_LENGTH} characters."
        )
    if key.lower().startswith("aws:"):
        raise InvalidInputException(f"The tag key {key} starts with aws:, which is reserved.")
    if not _ALLOWED.fullmatch(key) or not _ALLOWED.fullmatch(value or ""):
        hint = f"; slashes separate rhythms: {EXAMPLE}" if key == RHYTHMS_TAG else ""
        raise InvalidInputException(
            f"The tag {key} may contain only letters, digits, spaces and + - = . _ : / @{hint}"
        )
