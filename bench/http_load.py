"""A load of HTTP requests over kept connections, from one process."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Make = Callable[[int], bytes]
"""The bytes of the request of that number."""


@dataclass(slots=True)
class Measured:
    """What came of a load; seconds."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    server_seconds: float = 0.0
    example: bytes = b""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")

    def text(self) -> str:
        each = self.server_seconds / max(1, len(self.latencies))
        tail = f", {self.failed} failed ({self.example[:300]!r})" if self.failed else ""
        return (
            f"{self.rate:7.0f}/s  p50 {self.percentile(0.5) * 1000:6.1f} ms  "
            f"p99 {self.percentile(0.99) * 1000:6.1f} ms  "
            f"server {each * 1000:5.2f} ms CPU each{tail}"
        )


class _Connection:
    """One connection; opened anew when the server has closed it, as some do after each reply."""

    def __init__(self, host: str, port: int, selector: selectors.BaseSelector) -> None:
        self._address, self._selector = (host, port), selector
        self.began = 0.0
        self.buffer = bytearray()
        self.wanted = -1
        self._closing = False
        self._open()

    def _open(self) -> None:
        self.socket = socket.create_connection(self._address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._selector.unregister(self.socket)
            self.socket.close()

    def rest(self) -> None:
        """Nothing comes until something is sent."""
        if self._closing:
            self.close()

    def send(self, request: bytes, began: float) -> None:
        if self.socket.fileno() < 0:
            self._open()
        self.began = began
        self.buffer.clear()
        self.wanted = -1
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Whether the reply is whole."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.buffer += part
        if self.wanted < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self.buffer[:end]).lower()
            self._closing = b"connection: close" in head
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.wanted = end + 4 + int(length)
        return len(self.buffer) >= self.wanted

    @property
    def succeeded(self) -> bool:
        return self.buffer[9:12] == b"200"


def run(
    url: str, make: Make, *, seconds: float, connections: int, rate: float | None = None
) -> Measured:
    """Send for so many seconds. Each connection sends again at once, or all together at `rate`.

    With a rate, a request's time counts from when it was due, so a stall of the server counts for
    all that were due meanwhile.
    """
    parts = urlsplit(url)
    selector = selectors.DefaultSelector()
    host, port = parts.hostname or "", parts.port or 80
    pool = [_Connection(host, port, selector) for _ in range(connections)]
    measured, number, idle, busy = Measured(seconds), 0, list(pool), 0
    start = time.perf_counter()
    end = start + seconds
    while True:
        now = time.perf_counter()
        while idle and now < end:
            due = now if rate is None else start + number / rate
            if due > now:
                break
            idle.pop().send(make(number), due)
            number, busy = number + 1, busy + 1
        if now >= end and not busy:
            break
        for key, _ in selector.select(0.0005 if rate else 1.0):
            one: _Connection = key.data
            if not one.receive():
                continue
            one.rest()
            idle.append(one)
            busy -= 1
            if one.succeeded:
                measured.latencies.append(time.perf_counter() - one.began)
            else:
                measured.failed += 1
                measured.example = bytes(one.buffer)
    measured.seconds = time.perf_counter() - start
    for one in pool:
        one.close()
    selector.close()
    return measured
