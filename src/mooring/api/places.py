"""Places for connections: a limited number from their first byte, with shares per address."""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Callable

from mooring.model.counts import counted

LOG = logging.getLogger("mooring.api")

LEAST_WAIT_SECONDS = 1.0
"""A connection that has waited this long for its first request may have to go for a new one."""

KEPT_SECONDS = 5.0
"""The same for one that has had a request, and may soon have another."""


class Place:
    """What one connection takes. `leave` when it is gone."""

    __slots__ = ("_places", "address", "give_up", "known", "since")

    def __init__(self, places: Places, address: str) -> None:
        self._places = places
        self.address = address
        self.give_up: Callable[[], object] | None = None
        self.since = 0.0
        self.known = False

    def wait(self, now: float, give_up: Callable[[], object]) -> None:
        """From now on the connection waits for its client, and can be ended with `give_up`."""
        self.since, self.give_up = now, give_up
        self._places.wait(self)

    def work(self) -> None:
        """A request is there: the connection is not to be given up."""
        self.known = True
        self._places.work(self)

    def leave(self) -> None:
        """Give the place back; again does nothing."""
        self._places.leave(self)


class Places:
    """How many connections there may be, and how many of one address.

    A connection counts from when it is accepted, before TLS. When all places are taken, the one
    that has waited longest for its client goes for a new one, first among those on which no request
    has come yet. Addresses of this host have no share:
    a proxy's clients all come from there.
    """

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most, self._share = most, most_of_address
        self._taken: Counter[str] = Counter()
        self._all: set[Place] = set()
        self._full: set[str] = set()
        # Those whose client has to send something, the longest first; by whether one ever has.
        self._waiting: dict[bool, dict[Place, None]] = {False: {}, True: {}}

    def __len__(self) -> int:
        return len(self._all)

    def take(self, host: str, now: float) -> Place | None:
        """A place for a connection from there at that monotonic time; None if there is none."""
        address = client_of(host)
        if not self.has_share(host):
            self._tell(
                address,
                f"{address} has {counted(self._share, 'connection')} open: more are refused "
                "(limits.connections_per_address)",
            )
            return None
        if len(self._all) >= self._most and not self._make_room(now):
            self._tell(
                "",
                f"{counted(self._most, 'connection')} open: more wait or are refused "
                "(limits.connections)",
            )
            return None
        place = Place(self, address)
        self._all.add(place)
        if address:
            self._taken[address] += 1
        return place

    def has_share(self, host: str) -> bool:
        """Whether the address may have another place, if there is one."""
        address = client_of(host)
        return not address or self._taken[address] < self._share

    def wait(self, place: Place) -> None:
        if place in self._all:
            self.work(place)
            self._waiting[place.known][place] = None

    def work(self, place: Place) -> None:
        for waiting in self._waiting.values():
            waiting.pop(place, None)

    def leave(self, place: Place) -> None:
        if place not in self._all:
            return
        self._all.discard(place)
        self.work(place)
        # Not told again for each that goes and comes at the limit.
        if len(self._all) <= self._most // 2:
            self._full.discard("")
        if place.address:
            self._taken[place.address] -= 1
            if self._taken[place.address] <= self._share // 2:
                self._full.discard(place.address)
            if not self._taken[place.address]:
                del self._taken[place.address]

    def _make_room(self, now: float) -> bool:
        for known, seconds in ((False, LEAST_WAIT_SECONDS), (True, KEPT_SECONDS)):
            longest = next(iter(self._waiting[known]), None)
            if longest is not None and now - longest.since >= seconds:
                self.leave(longest)
                assert longest.give_up is not None
                longest.give_up()
                return True
        return False

    def _tell(self, what: str, text: str) -> None:
        if what not in self._full:
            self._full.add(what)
            LOG.warning("%s", text)


def client_of(host: str) -> str:
    """Whom an address stands for: itself, its /64 in IPv6; empty for addresses of this host."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            if address.is_loopback:
                return ""
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)
