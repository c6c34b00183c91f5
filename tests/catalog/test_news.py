"""Servers of one PostgreSQL catalog tell each other what there is to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.news import News
from mooring.catalog.tables.jobs import Jobs
from mooring.model.resources.job_kind import JobKind
from tests.catalog.test_hold import end_sessions
from tests.catalog.values import job

pytestmark = [
    pytest.mark.full,
    pytest.mark.parametrize("kind", ["postgresql"], indirect=True),
]
SECONDS = 30


class Ear:
    """What a server hears; the news of the beginning is not waited for."""

    def __init__(self, catalog: Catalog) -> None:
        self._changed = threading.Condition()
        self.jobs: list[JobKind] = []
        self.runs = 0
        self.begun = 0
        self.news = News(catalog._engine, self._hear, self._hear_runs)
        self.until(lambda: self.begun == 1)

    def until(self, reached: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(reached, SECONDS)

    def _hear(self, kinds: Sequence[JobKind]) -> None:
        with self._changed:
            if len(kinds) == len(JobKind):
                self.begun += 1
            else:
                self.jobs += kinds
            self._changed.notify_all()

    def _hear_runs(self) -> None:
        with self._changed:
            self.runs += 1
            self._changed.notify_all()


@pytest.fixture
def ears(catalog: Catalog, second: Catalog) -> Iterator[tuple[Ear, Ear]]:
    ears = Ear(catalog), Ear(second)
    yield ears
    for one in ears:
        one.news.close()


def begun_again(ear: Ear) -> bool:
    return ear.begun == 2


def test_what_one_tells_the_other_hears(ears: tuple[Ear, Ear]) -> None:
    one, other = ears
    runs = other.runs
    one.news.tell([JobKind.COPY_SNAPSHOT])
    other.until(lambda: other.jobs == [JobKind.COPY_SNAPSHOT])
    other.news.tell([JobKind.CREATE_DISK])
    one.until(lambda: one.jobs == [JobKind.CREATE_DISK])
    one.news.tell(["runs"])
    other.until(lambda: other.runs > runs)


def test_a_session_that_ends_begins_anew_and_all_look(ears: tuple[Ear, Ear], url: str) -> None:
    one, other = ears
    end_sessions(url)

    for ear in ears:
        ear.until(partial(begun_again, ear))
    one.news.tell([JobKind.COPY_SNAPSHOT])
    other.until(lambda: JobKind.COPY_SNAPSHOT in other.jobs)


def test_other_schemas_hear_nothing(ears: tuple[Ear, Ear], request: pytest.FixtureRequest) -> None:
    one, other = ears
    apart = Catalog(request.getfixturevalue("postgresql").url())
    ear = Ear(apart)
    ear.news.tell([JobKind.CREATE_DISK])
    one.news.tell([JobKind.COPY_SNAPSHOT])
    other.until(lambda: bool(other.jobs))
    assert (other.jobs, ear.jobs) == ([JobKind.COPY_SNAPSHOT], [])
    ear.news.close()
    apart.close()


def test_a_transaction_tells_when_it_has_ended(catalog: Catalog, second: Catalog) -> None:
    ear = Ear(second)
    catalog.hold()
    with catalog.write() as transaction:
        transaction.jobs.add(job("a1", kind=JobKind.COPY_SNAPSHOT))
    ear.until(lambda: ear.jobs == [JobKind.COPY_SNAPSHOT])
    ear.news.close()


def test_what_a_dead_server_left_is_told(catalog: Catalog) -> None:
    told: list[JobKind] = []
    catalog.tell(told.extend)

    def look() -> list[JobKind]:
        told.clear()
        with catalog.write() as transaction:
            transaction.jobs.tell_ended(100)
        return list(told)

    def take(jobs: Jobs, lease_ms: int) -> None:
        assert jobs.take("dead", list(JobKind), 100, lease_ms, []) is not None

    with catalog.write() as transaction:
        transaction.jobs.add(job("a1"))
    assert look() == []
    with catalog.write() as transaction:
        take(transaction.jobs, 0)
    assert look() == [JobKind.CREATE_DISK]
    with catalog.write() as transaction:
        take(transaction.jobs, 3_600_000)
    assert look() == []
