"""What a server tells the service manager that started it.

The protocol is that of sd_notify(3): one datagram to the socket named in the environment.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

_VARIABLE = "NOTIFY_SOCKET"

READY = "READY=1"
STOPPING = "STOPPING=1"


class ServiceManager:
    """Takes the socket's name out of the environment: what is started from here is not asked."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop(_VARIABLE, "")

    def tell(self, state: str) -> None:
        """Tell it, if there is one. If it cannot hear, it will find out otherwise."""
        if self._address[:1] not in {"/", "@"}:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), address)
