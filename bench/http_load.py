"""A load of HTTP requests over kept connections, from one process."""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter, deque
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
    failures: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    server_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")

    def text(self) -> str:
        each = self.server_seconds / max(1, len(self.latencies))
        tail = "".join(f", {count} x {why}" for why, count in self.failures.most_common())
        tail += f", {self.repeated} sent again" if self.repeated else ""
        return (
            f"{self.rate:7.0f}/s  p50 {self.percentile(0.5) * 1000:6.1f} ms  "
            f"p99 {self.percentile(0.99) * 1000:6.1f} ms  "
            f"server {each * 1000:5.2f} ms CPU each{tail}"
        )


class _Connection:
    """One connection; opened anew when the server has closed it, as clients do.

    Some servers close it after each reply, others when it was idle for some time.
    """

    def __init__(self, host: str, port: int, selector: selectors.BaseSelector) -> None:
        self._address, self._selector = (host, port), selector
        self.began = 0.0
        self.buffer = bytearray()
        self.wanted = -1
        self.repeated = 0
        self._request = b""
        self._closing = self._reused = False
        self._open()

    def _open(self) -> None:
        self.socket = socket.create_connection(self._address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self.socket, selectors.EVENT_READ, self)
        self._reused = False

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._selector.unregister(self.socket)
            self.socket.close()

    def rest(self) -> None:
        """The reply is whole: nothing comes until something is sent, but an end."""
        self._request, self._reused = b"", True
        if self._closing:
            self.close()

    def send(self, request: bytes, began: float) -> None:
        if self.socket.fileno() < 0:
            self._open()
        self.began = began
        self.buffer.clear()
        self.wanted = -1
        self._request = request
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Whether the reply is whole."""
        try:
            part = self.socket.recv(1 << 18)
        except ConnectionResetError:
            part = b""
        if not part:
            self._ended()
            return False
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

    def _ended(self) -> None:
        """Close it; send again what was sent just when the server closed an idle connection."""
        if self._request and (self.buffer or not self._reused):
            raise ConnectionError("the server closed the connection instead of replying")
        self.close()
        if self._request:
            self.repeated += 1
            self.send(self._request, self.began)

    @property
    def failure(self) -> str:
        """Empty for a success, else the code of the error, or the status if it has none."""
        status = self.buffer[9:12].decode()
        if status == "200":
            return ""
        code = self.buffer.partition(b'"code":"')[2].partition(b'"')[0].decode()
        return code or status


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
    # The one that has rested longest is used next, so that none is idle for long.
    measured, number, idle, busy = Measured(seconds), 0, deque(pool), 0
    start = time.perf_counter()
    end = start + seconds
    while True:
        now = time.perf_counter()
        while idle and now < end:
            due = now if rate is None else start + number / rate
            if due > now:
                break
            idle.popleft().send(make(number), due)
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
            if one.failure:
                measured.failures[one.failure] += 1
            else:
                measured.latencies.append(time.perf_counter() - one.began)
    measured.seconds = time.perf_counter() - start
    for one in pool:
        measured.repeated += one.repeated
        one.close()
    selector.close()
    return measured
