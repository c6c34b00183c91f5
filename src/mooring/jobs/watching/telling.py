"""Tells people of troubles: once, then daily, and of the end.

Each channel has a thread of its own, so one that hangs keeps neither the others nor anything else
waiting. What was told where is in the catalog: a restart tells nothing twice, and where several
servers use it, the one that leads tells for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import structlog

from mooring.backend.backend import Backend
from mooring.jobs.watching.troubles import RHYTHM, Rhythm
from mooring.model.errors import NotifyError
from mooring.notify.interface import Channel
from mooring.notify.message import Message
from mooring.observe import alarms
from mooring.observe.loop import Loop

FREELY = 20
"""Messages in an hour by one channel; who is told more often stops to look."""

HOUR_SECONDS = 3600.0
PAUSE_SECONDS = 300.0
"""Between two messages of more than that: what comes meanwhile is told together."""

log = structlog.get_logger("mooring.notify")


class Telling:
    """A thread for each channel."""

    def __init__(
        self,
        backend: Backend,
        channels: Sequence[Channel],
        leads: Callable[[], bool],
        repeat_ms: int,
        rhythm: Rhythm = RHYTHM,
    ) -> None:
        """`leads` says whether this server tells; a trouble that lasts is told again after
        `repeat_ms`."""
        self._backend = backend
        self._leads = leads
        self._repeat_ms = repeat_ms
        self._rhythm = rhythm
        self._sent: dict[str, deque[float]] = {one.name: deque(maxlen=FREELY) for one in channels}
        self._loops = [
            Loop(f"notify-{one.name}", lambda channel=one: self._round(channel))  # type: ignore[misc]
            for one in channels
        ]

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Tell nothing more. A channel that hangs ends with the process."""
        for loop in self._loops:
            loop.signal()
        for loop in self._loops:
            loop.stop(1.0)

    def tell(self, channel: Channel) -> bool:
        """Tell there what was not told yet; whether there was anything. Raises NotifyError."""
        if not self._leads() or self._pauses(channel):
            return False
        now = self._backend.clock.now_ms()
        with self._backend.catalog.read() as transaction:
            untold = transaction.troubles.untold(
                channel.name, now, self._repeat_ms, self._rhythm.settle_ms
            )
        if not untold:
            return False
        server = self._backend.this_server
        message = Message(server.name or server.id, now, untold)
        try:
            channel.send(message)
        except NotifyError:
            alarms.notified(channel.name, sent=False)
            raise
        alarms.notified(channel.name, sent=True)
        self._sent.setdefault(channel.name, deque(maxlen=FREELY)).append(
            self._backend.clock.monotonic()
        )
        log.info("told of troubles", channel=channel.name, what=message.subject)
        with self._backend.catalog.write() as transaction:
            transaction.troubles.told(channel.name, untold, now)
        return True

    def _pauses(self, channel: Channel) -> bool:
        """Whether so much was told lately that the next message has to wait for more."""
        sent, now = self._sent.get(channel.name), self._backend.clock.monotonic()
        if not sent or len(sent) < FREELY or now - sent[0] >= HOUR_SECONDS:
            return False
        return now - sent[-1] < PAUSE_SECONDS

    def _round(self, channel: Channel) -> float:
        self.tell(channel)
        return self._rhythm.tell_seconds


class Heartbeat:
    """A thread that says somewhere that the server is alive, as long as it is.

    Whoever hears it tells people when it stops: a server that was killed cannot.
    """

    def __init__(
        self, beat: Callable[[], None], problem: Callable[[], str | None], seconds: float
    ) -> None:
        """`beat` raises NotifyError; `problem` says why the server is not well, if so."""
        self._beat, self._problem, self._seconds = beat, problem, seconds
        self._loop = Loop("notify-heartbeat", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop(1.0)

    def _round(self) -> float:
        if (problem := self._problem()) is not None:
            log.warning("no heartbeat is sent", why=problem)
            return self._seconds
        try:
            self._beat()
        except NotifyError:
            alarms.notified("heartbeat", sent=False)
            raise
        alarms.notified("heartbeat", sent=True)
        return self._seconds
