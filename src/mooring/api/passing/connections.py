"""Connections to the servers of hosts, kept for the next request."""

from __future__ import annotations

import http.client
import select
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

KEPT = 16
"""Connections that are kept to each server, at most."""

_CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class NotSentError(Exception):
    """Nothing of the request can have been done."""


class Connections:
    """Sends requests in the caller's thread; for use from any.

    A request is sent once: whether it was done is not known if no answer comes.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """`context` says who vouches for servers that speak TLS; None: as the system has it."""
        self._context = context
        self._lock = threading.Lock()
        self._kept: dict[str, list[http.client.HTTPConnection]] = {}

    def send(
        self,
        address: str,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        seconds: float,
    ) -> Answer:
        """Raises NotSentError; OSError, HTTPException if the request may have arrived."""
        connection = self._take(address, seconds)
        try:
            connection.putrequest(
                method,
                target.decode("ascii", "surrogateescape"),
                skip_host=True,
                skip_accept_encoding=True,
            )
            for name, value in headers:
                connection.putheader(name.decode("latin-1"), value)
            connection.endheaders(body)
            reply = connection.getresponse()
            answer = Answer(reply.status, reply.getheaders(), reply.read())
        except BaseException:
            connection.close()
            raise
        if reply.will_close:
            connection.close()
        else:
            self._keep(address, connection)
        return answer

    def close(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, {}
        for connections in kept.values():
            for connection in connections:
                connection.close()

    def _take(self, address: str, seconds: float) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                kept = self._kept.get(address)
                connection = kept.pop() if kept else None
            if connection is None:
                return self._connect(address, seconds)
            if connection.sock is not None and not _has_ended(connection):
                connection.sock.settimeout(seconds)
                return connection
            connection.close()

    def _connect(self, address: str, seconds: float) -> http.client.HTTPConnection:
        parts = urlsplit(address)
        connection: http.client.HTTPConnection
        try:
            if parts.scheme == "https":
                context = self._context or ssl.create_default_context()
                connection = http.client.HTTPSConnection(
                    parts.netloc, timeout=_CONNECT_SECONDS, context=context
                )
            else:
                connection = http.client.HTTPConnection(parts.netloc, timeout=_CONNECT_SECONDS)
            connection.connect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotSentError(str(error)) from error
        connection.sock.settimeout(seconds)
        return connection

    def _keep(self, address: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            kept = self._kept.setdefault(address, [])
            if len(kept) < KEPT:
                kept.append(connection)
                return
        connection.close()


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    """Whether there is something to read of a server that was asked nothing: its end."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
