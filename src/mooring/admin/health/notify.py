"""mooringd notify: a test message by each way that the settings give."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError, NotifyError
from mooring.notify.message import Message
from mooring.wiring.watches import channels, heartbeat


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
