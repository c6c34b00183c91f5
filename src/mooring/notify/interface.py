"""What a channel is, by which people are told."""

from __future__ import annotations

from typing import Protocol

from mooring.notify.message import Message


class Channel(Protocol):
    """A way to tell people. What it raises has no secret in it: it goes into the log."""

    @property
    def name(self) -> str:
        """What the catalog, the log and metrics call it."""
        ...

    def send(self, message: Message) -> None:
        """Send the message, or raise NotifyError: soon, also where the other side hangs."""
        ...
