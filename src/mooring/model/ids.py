"""The one source of ids and of codes made at random."""

from __future__ import annotations

import secrets
import uuid
from typing import Protocol


class Ids(Protocol):
    """Makes ids. Inject it; nothing else may."""

    def new_id(self) -> str:
        """A UUID in lower-case text."""
        ...

    def token(self, digits: int) -> str:
        """Random lower-case hexadecimal digits."""
        ...


class RandomIds:
    """Ids from the operating system's random source."""

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def token(self, digits: int) -> str:
        return secrets.token_hex((digits + 1) // 2)[:digits]


class SequentialIds:
    """Ids for tests that count up."""

    def __init__(self) -> None:
        self._last = 0

    def new_id(self) -> str:
        self._last += 1
        return str(uuid.UUID(int=self._last))

    def token(self, digits: int) -> str:
        self._last += 1
        return f"{self._last:x}".zfill(digits)[-digits:]
