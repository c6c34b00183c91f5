"""Token buckets: how many requests a second are answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mooring.config.settings import Throttle
from mooring.model.clock import Clock
from mooring.model.errors import ThrottlingException

MOST_ADDRESSES = 10_000
"""Addresses remembered at once; of more, who was seen longest ago is forgotten."""


class Bucket:
    """Tokens that come back with time; each request takes one."""

    __slots__ = ("_clock", "_filled", "_rate", "_servers", "_size", "_tokens")

    def __init__(
        self, rate: float, size: float, clock: Clock, servers: Callable[[], int] = lambda: 1
    ) -> None:
        """`servers` says how many have a part of it each."""
        self._rate, self._size, self._clock, self._servers = rate, size, clock, servers
        self._tokens, self._filled = self._room, clock.monotonic()

    @property
    def _room(self) -> float:
        # One request must fit, however many servers.
        return max(1.0, self._size / self._servers())

    def has(self) -> bool:
        now = self._clock.monotonic()
        came = (now - self._filled) * self._rate / self._servers()
        self._tokens = min(self._room, self._tokens + came)
        self._filled = now
        return self._tokens >= 1.0

    def take(self) -> None:
        self._tokens -= 1.0


@dataclass(slots=True)
class Refused:
    """What came from one address without a good signature."""

    bucket: Bucket
    left_out: int = 0


class Throttles:
    """The buckets of one server; for use within one event loop.

    Of what all servers of a catalog answer, each answers its part: `servers` tells how many share.
    An address is refused by each server for itself: nobody spreads there what comes from one.
    """

    def __init__(
        self, settings: Throttle, clock: Clock, servers: Callable[[], int] = lambda: 1
    ) -> None:
        self._settings, self._clock, self._servers = settings, clock, servers
        self._all = self._shared(settings.rate, settings.burst) if settings.rate else None
        self._users: dict[str, Bucket] = {}
        self._refused: dict[str, Refused] = {}

    def refuse(self, address: str) -> int | None:
        """Count a request without a good signature; for one too many, None.

        Otherwise how many were too many since the last that was not. Good requests of the address
        are not touched: others may be behind it.
        """
        settings = self._settings
        if not settings.refused_rate:
            return 0
        found = self._refused.pop(address, None)
        if found is None:
            found = Refused(Bucket(settings.refused_rate, settings.refused_burst, self._clock))
            if len(self._refused) >= MOST_ADDRESSES:
                del self._refused[next(iter(self._refused))]
        self._refused[address] = found
        if not found.bucket.has():
            found.left_out += 1
            return None
        found.bucket.take()
        left_out, found.left_out = found.left_out, 0
        return left_out

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
            self._users[user] = self._shared(settings.user_rate, settings.user_burst)
        return self._users[user]

    def _shared(self, rate: float, size: float) -> Bucket:
        return Bucket(rate, size, self._clock, self._servers)


def _exceeded(setting: str, who: str) -> ThrottlingException:
    return ThrottlingException(
        f"Rate exceeded: {setting} limits the requests of {who}. Slow down and try again."
    )
