"""Messages kept in memory, for tests."""

from __future__ import annotations

from mooring.model.errors import NotifyError
from mooring.notify.message import Message


class MemoryChannel:
    """Keeps what it is sent, or fails as long as it is told to."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.sent: list[Message] = []
        self.failing = ""

    def send(self, message: Message) -> None:
        if self.failing:
            raise NotifyError(self.failing)
        self.sent.append(message)
