"""Buckets of tokens: how many requests a second are answered."""

from __future__ import annotations

from mooring.config.settings import Throttle
from mooring.model.clock import Clock
from mooring.model.errors import ThrottlingException


class Bucket:
    """Tokens that come back with time; each request takes one."""

    __slots__ = ("_clock", "_filled", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, size: float, clock: Clock) -> None:
        self._rate, self._size, self._clock = rate, size, clock
        self._tokens, self._filled = size, clock.monotonic()

    def has(self) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return self._tokens >= 1.0

    def take(self) -> None:
        self._tokens -= 1.0


class Throttles:
    """The buckets of one server; for use within one event loop."""

    def __init__(self, settings: Throttle, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._all = Bucket(settings.rate, settings.burst, clock) if settings.rate else None
        self._users: dict[str, Bucket] = {}

    def take(self, user: str) -> None:
        """Count a request of the user. Raises ThrottlingException, which takes nothing."""
        one = self._bucket(user)
        if one is not None and not one.has():
            raise _exceeded("throttle.user_rate", f"the user {user}")
        if self._all is not None and not self._all.has():
            raise _exceeded("throttle.rate", "all users together")
        for bucket in filter(None, (one, self._all)):
            bucket.take()

    def _bucket(self, user: str) -> Bucket | None:
        settings = self._settings
        if not settings.user_rate:
            return None
        if user not in self._users:
            # Only of keys that are known, so these are not many.
            self._users[user] = Bucket(settings.user_rate, settings.user_burst, self._clock)
        return self._users[user]


def _exceeded(setting: str, who: str) -> ThrottlingException:
    return ThrottlingException(
        f"Rate exceeded: {setting} limits the requests of {who}. Slow down and try again."
    )
