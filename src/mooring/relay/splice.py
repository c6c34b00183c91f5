"""Carries bytes both ways between a TLS connection and a local socket."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable

CHUNK = 256 * 1024
RECORD = 16 * 1024
"""Bytes that one TLS record holds at most, and one read brings."""
LOOK_SECONDS = 2.0

_WAIT = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class _Lane:
    """One direction: what was read and not yet written. It reads only when that is nothing."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source = source
        self._target = target
        self._buffer = memoryview(bytearray(CHUNK))
        self._start = self._end = 0
        self.ended = False

    @property
    def full(self) -> bool:
        return self._start < self._end

    def move(self) -> None:
        """Carry as much as goes without waiting."""
        while not self.ended:
            if not self.full and not self._read():
                return
            while self.full:
                try:
                    self._start += self._target.send(self._buffer[self._start : self._end])
                except _WAIT:
                    return

    def _read(self) -> bool:
        self._start = self._end = 0
        try:
            while self._end <= CHUNK - RECORD:
                count = self._source.recv_into(self._buffer[self._end :])
                if not count:
                    # What came before goes first.
                    self.ended = self._end == 0
                    break
                self._end += count
        except _WAIT:
            pass
        return self._end > 0


def splice(outer: ssl.SSLSocket, inner: socket.socket, still_allowed: Callable[[], bool]) -> None:
    """Carry on until one side ends, or it is not allowed any more, which is asked now and then.

    Raises OSError for a side that broke.
    """
    outer.setblocking(False)
    inner.setblocking(False)
    inwards, outwards = _Lane(outer, inner), _Lane(inner, outer)
    while still_allowed():
        inwards.move()
        outwards.move()
        if inwards.ended or outwards.ended:
            return
        poll = select.poll()
        # A lane that is full waits for its target, an empty one for its source.
        for side, source, target in ((outer, inwards, outwards), (inner, outwards, inwards)):
            events = 0 if source.full else select.POLLIN
            poll.register(side, events | (select.POLLOUT if target.full else 0))
        poll.poll(LOOK_SECONDS * 1000)
