"""mooringd notify: a test message by each way that the settings give."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError, NotifyError
from mooring.notify.message import Message
from mooring.wiring.watches import channels, heartbeat


def told_findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Who is told of troubles, and what could keep them from it."""
    notify = settings.notify
    names = [one.name for one in channels(notify)]
    if heartbeat(notify) is not None:
        names.append("heartbeat")
    if not names:
        yield True, "nobody is told of troubles: the settings notify.… say who is to be"
        return
    for file in filter(
        None, (notify.webhook_file, notify.mail_password_file, notify.heartbeat_file)
    ):
        if not os.access(Path(file).expanduser(), os.R_OK):
            yield False, f"{file} cannot be read by this user, so messages cannot be sent"
    yield True, f"troubles are told by: {', '.join(names)} (`mooringd notify --test` tries it)"


def notify(settings: Settings) -> int:
    """Send it and say how it went; returns 1 if something could not be sent.

    Raises ConfigurationError if there is no way to send anything.
    """
    message = Message(settings.name or socket.gethostname(), SystemClock().now_ms())
    ways: list[tuple[str, Callable[[], None]]] = [
        (one.name, partial(one.send, message)) for one in channels(settings.notify)
    ]
    beat = heartbeat(settings.notify)
    if beat is not None:
        ways.append(("heartbeat", beat))
    if not ways:
        raise ConfigurationError(
            "nobody is told of anything: set notify.webhook, notify.mail_to, notify.command or "
            "notify.heartbeat"
        )
    failed = False
    for name, send in ways:
        try:
            send()
        except NotifyError as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
        else:
            print(f"{name}: sent")
    return int(failed)
