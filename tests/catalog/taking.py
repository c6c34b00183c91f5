"""Jobs that are recorded, and taken by whoever asks."""

from __future__ import annotations

from collections.abc import Collection

from mooring.catalog.database import Catalog
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind

ALL = list(JobKind)

LEASE = 3_600_000
"""Longer than any test."""

ENDED = 0
"""A lease that is over at once, by whatever clock."""


def add(catalog: Catalog, *jobs: Job) -> None:
    with catalog.write() as transaction:
        for one in jobs:
            transaction.jobs.add(one)


def take(
    catalog: Catalog,
    now_ms: int = 100,
    owner: str = "me",
    kinds: Collection[JobKind] = ALL,
    running: Collection[str] = (),
) -> str | None:
    found = taken(catalog, now_ms, owner, kinds, running)
    return None if found is None else found.id


def taken(
    catalog: Catalog,
    now_ms: int = 100,
    owner: str = "me",
    kinds: Collection[JobKind] = ALL,
    running: Collection[str] = (),
    lease_ms: int = LEASE,
) -> Job | None:
    with catalog.write() as transaction:
        return transaction.jobs.take(owner, kinds, now_ms, lease_ms, running)
