"""Lets disks and instances follow the configuration's rhythms that have none of their own."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.automatic.rules import AutoSource, rhythm_run
from mooring.model.operation import ResourceType

LOOKED_AT = 1000
"""Resources of a kind looked at in one look: of more, each has its turn."""

AT_ONCE = 100
"""Resources that begin to follow in one transaction: requests go in between."""


class Followers:
    """Walks through all resources of a kind again and again, in the order of their making.

    Those made since the last look are looked at first. So one that is new follows at once, and one
    that has lost its tag when its turn comes.
    """

    def __init__(self, backend: Backend, kind: ResourceType, policy: str) -> None:
        """`policy`: the configuration's rhythms; empty: there are none."""
        self._backend = backend
        self._kind = kind
        self._policy = policy
        self._reached = 0
        self._newest: int | None = None

    def forget_others(self) -> None:
        """At the start: runs by rhythms that the configuration does not have any more."""
        with self._backend.catalog.write() as transaction:
            transaction.auto_runs.forget_policy_other_than(
                self._kind, self._policy, list(self._backend.elsewhere), self._backend.host
            )

    def look(self) -> bool:
        """Whether there may be more that have to follow: look again soon."""
        if not self._policy:
            return False
        catalog = self._backend.catalog
        with catalog.read() as transaction:
            runs = transaction.auto_runs
            there, host = self._backend.elsewhere, self._backend.host
            page = runs.without_rhythms(self._kind, self._reached, LOOKED_AT, there, host)
            lacking = dict(page.found)
            if self._newest is not None:
                newer = runs.without_rhythms(self._kind, self._newest, LOOKED_AT, there, host)
                lacking |= newer.found
            newest = runs.newest(self._kind)
        self._reached = page.more or 0
        for start in range(0, len(lacking), AT_ONCE):
            self._follow(list(lacking)[start : start + AT_ONCE])
        self._newest = newest
        return bool(page.found) and page.more is not None

    def _follow(self, ids: list[str]) -> None:
        now = self._backend.clock.now_ms()
        with self._backend.catalog.write() as transaction:
            # A tag may have been given to them meanwhile, or they are gone.
            host = self._backend.host
            for resource_id, region in transaction.auto_runs.still_without(self._kind, ids, host):
                run = rhythm_run(resource_id, region, AutoSource.CONFIG, self._policy, now)
                transaction.auto_runs.put(run)
