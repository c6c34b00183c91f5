"""The one check that every object's name passes."""

from __future__ import annotations

import re

from mooring.model.errors import StoreError

MAX_NAME_LENGTH = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*")


def check_name(name: str) -> str:
    """Return the name, or raise StoreError: lower-case letters, digits, `.`, `_`, `-`, `/`.

    No part may begin with a dot, so that no name leaves the store or meets its own files.
    """
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise StoreError(
            f"{name[:80]!r} cannot name an object: use up to {MAX_NAME_LENGTH} characters "
            "a-z, 0-9, '.', '_', '-', in parts separated by '/' that start with a letter or digit"
        )
    return name
