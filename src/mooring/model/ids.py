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


def support_code(ids: Ids, account_id: str, prefix: str) -> str:
    """A support code as the service makes them, for example for the prefix `vol`."""
    return f"{account_id}/{prefix}-0{ids.token(16)}"


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
