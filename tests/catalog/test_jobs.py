"""Jobs in their lines: which is next, what it was given, who is told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from mooring.catalog.database import Catalog
from mooring.model.clock import SystemClock
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import DeleteInstance
from mooring.model.resources.job_kind import JobKind
from tests.catalog.kinds import on_shared_ones
from tests.catalog.taking import ALL, add, take, taken
from tests.catalog.values import job


def untyped(catalog: Catalog, job_id: str, arguments: str) -> None:
    """Make the row of a job what an earlier program wrote."""
    with catalog.write() as transaction:
        connection = transaction.jobs._connection
        connection.execute(
            text("UPDATE jobs SET version = 0, zone = '', arguments = :given WHERE id = :id"),
            {"given": arguments, "id": job_id},
        )
        connection.execute(text("DELETE FROM job_reads"))


def test_a_job_comes_back_as_it_was(catalog: Catalog) -> None:
    one = job("one", zone="z", not_before_ms=5, created_ms=2**42)
    add(catalog, one)

    with catalog.read() as transaction:
        assert transaction.jobs.by_id("one") == one
        assert transaction.jobs.by_id("two") is None
        assert transaction.jobs.of_kind(JobKind.CREATE_DISK) == [one]
        assert transaction.jobs.of_kind(JobKind.CLONE_DISK) == []


def test_jobs_of_one_key_run_one_after_the_other(catalog: Catalog) -> None:
    add(catalog, job("a1", "a"), job("a2", "a"), job("b1", "b"))

    first = taken(catalog)
    assert first is not None
    assert [first.id, take(catalog), take(catalog)] == ["a1", "b1", None]
    with catalog.write() as transaction:
        transaction.jobs.remove(first)
    assert take(catalog) == "a2"


def test_a_line_waits_for_its_first_whatever_its_kind(catalog: Catalog) -> None:
    add(catalog, job("a1", "a", kind=JobKind.UPLOAD_SNAPSHOT), job("a2", "a"))

    assert take(catalog, kinds=[JobKind.CREATE_DISK]) is None
    assert take(catalog, kinds=[JobKind.UPLOAD_SNAPSHOT]) == "a1"


def test_a_held_job_waits_until_it_is_confirmed_and_so_does_its_line(catalog: Catalog) -> None:
    add(catalog, job("a1", "a", not_before_ms=HELD_MS), job("a2", "a"))

    assert take(catalog, now_ms=2**53) is None
    with catalog.write() as transaction:
        transaction.jobs.confirm("a1")
    assert take(catalog) == "a1"


def test_a_job_is_not_taken_before_its_time(catalog: Catalog) -> None:
    add(catalog, job("a1", not_before_ms=500))

    assert take(catalog, now_ms=499) is None
    with catalog.read() as transaction:
        assert transaction.jobs.next_due_ms(ALL) == 500
        assert transaction.jobs.next_due_ms([JobKind.CLONE_DISK]) is None
    assert take(catalog, now_ms=500) == "a1"
    with catalog.read() as transaction:
        assert transaction.jobs.next_due_ms(ALL) is None


@pytest.mark.parametrize("kind", JobKind)
def test_arguments_of_every_kind_come_back(catalog: Catalog, kind: JobKind) -> None:
    one = job("one", kind=kind)
    add(catalog, one)

    with catalog.read() as transaction:
        assert transaction.jobs.by_id("one") == one


def test_what_a_job_reads_is_known_until_it_has_ended(catalog: Catalog) -> None:
    add(
        catalog,
        job("export", kind=JobKind.EXPORT_SNAPSHOT),
        job("copy", kind=JobKind.COPY_SNAPSHOT),
        job("fill", kind=JobKind.FILL_DISK),
    )

    def read() -> list[str]:
        with catalog.read() as transaction:
            return [one for one in ("a", "b", "snap") if transaction.jobs.is_read(one)]

    assert read() == ["a", "b", "snap"]
    with catalog.write() as transaction:
        transaction.jobs.remove(job("export", kind=JobKind.EXPORT_SNAPSHOT))
    assert read() == ["a", "snap"]
    with catalog.write() as transaction:
        transaction.jobs.remove_all("copy")
    assert read() == ["snap"]


UNTYPED = [
    (JobKind.CREATE_DISK, '{"disk": "id-data", "zone": "z"}', "z"),
    (JobKind.FILL_DISK, '{"disk": "id-data", "zone": "z", "snapshot": "snap"}', "z"),
    (JobKind.EXPORT_SNAPSHOT, '{"record": "record", "snapshots": "a,b"}', ""),
    (
        JobKind.RESTORE_INSTANCE,
        '{"instance": "id-web", "zone": "z", "disks": "a,b", "snapshots": "c,d"}',
        "z",
    ),
    (JobKind.VERIFY_VAULT, '{"percent": "2.5"}', ""),
    (JobKind.COLLECT_VAULT, "{}", ""),
    (JobKind.DELETE_SNAPSHOT, '{"snapshot": "snap", "disk": "id-data", "zone": ""}', ""),
]


@pytest.mark.parametrize(("kind", "given", "zone"), UNTYPED)
def test_jobs_of_an_earlier_program_go_on(
    catalog: Catalog, kind: JobKind, given: str, zone: str
) -> None:
    wanted = job("one", kind=kind, zone=zone)
    add(catalog, wanted)
    untyped(catalog, "one", given)

    with catalog.read() as transaction:
        assert transaction.jobs.by_id("one") == wanted
    with catalog.write() as transaction:
        transaction.jobs.upgrade()
    with catalog.read() as transaction:
        assert transaction.jobs.by_id("one") == wanted
        assert all(transaction.jobs.is_read(one) for one in wanted.arguments.reads)


def test_an_instance_without_disks_of_an_earlier_program(catalog: Catalog) -> None:
    add(catalog, job("one", kind=JobKind.DELETE_INSTANCE))
    untyped(catalog, "one", '{"instance": "id-web", "zone": "z", "disks": ""}')

    with catalog.read() as transaction:
        found = transaction.jobs.by_id("one")
    assert found is not None
    assert found.given(DeleteInstance).disks == ()


def test_a_job_that_waits_is_begun_sooner(catalog: Catalog) -> None:
    told: list[JobKind] = []
    catalog.tell(told.extend)
    add(catalog, job("a1", "a", not_before_ms=1000))
    told.clear()

    def hasten(key: str, not_before_ms: int) -> bool:
        with catalog.write() as transaction:
            return transaction.jobs.hasten(key, not_before_ms)

    assert not hasten("b", 0)
    assert hasten("a", 2000)
    assert take(catalog, now_ms=999) is None
    assert told == []
    assert hasten("a", 500)
    assert told == [JobKind.CREATE_DISK]
    assert take(catalog, now_ms=499) is None
    # What runs does not wait; what is tried again has its own time.
    mine = taken(catalog, now_ms=500)
    assert mine is not None
    assert not hasten("a", 0)
    with catalog.write() as transaction:
        transaction.jobs.record(replace(mine, not_before_ms=700), release=True)
    assert hasten("a", 0)
    assert take(catalog, now_ms=699) is None


def test_who_runs_jobs_is_told_of_those_that_can_be_run(catalog: Catalog) -> None:
    told: list[list[JobKind]] = []
    catalog.tell(lambda kinds: told.append(list(kinds)))
    upload, create = JobKind.UPLOAD_SNAPSHOT, JobKind.CREATE_DISK

    held: dict[str, Any] = {"kind": upload, "group": "whole", "not_before_ms": HELD_MS}
    add(catalog, job("a1", "a", **held), job("b1", "b", **held))
    assert told == []
    with catalog.write() as transaction:
        transaction.jobs.confirm("whole")
    assert told.pop() == [upload, upload]
    add(catalog, job("a2", "a"))
    assert told.pop() == [create]
    with catalog.write() as transaction:
        transaction.jobs.remove(job("a1", "a", **held))
    assert told.pop() == [create]
    with catalog.write() as transaction:
        transaction.jobs.remove(job("a2", "a"))
    with pytest.raises(IntegrityError):
        add(catalog, job("c1", "c"), job("c1", "c"))
    assert told == []


def test_what_stood_behind_a_job_taken_back_can_be_run(catalog: Catalog) -> None:
    add(catalog, job("a1", "a", not_before_ms=HELD_MS), job("a2", "a"))
    told: list[JobKind] = []
    catalog.tell(told.extend)

    with catalog.write() as transaction:
        transaction.jobs.remove_all("a1")

    assert told == [JobKind.CREATE_DISK]
    assert take(catalog) == "a2"


def test_a_job_that_another_precedes_is_not_due(catalog: Catalog) -> None:
    """Who waits for it would look again and again: it is told of when it has moved up."""
    add(catalog, job("a1", "a"), job("a2", "a"))
    assert take(catalog) == "a1"

    with catalog.read() as transaction:
        assert transaction.jobs.next_due_ms(ALL) is None


@on_shared_ones
def test_two_servers_never_take_the_same_job(catalog: Catalog, second: Catalog) -> None:
    names = [f"j{number:02}" for number in range(30)]
    add(catalog, *[job(name) for name in names])

    def work(which: Catalog, owner: str) -> list[str]:
        taken: list[str] = []
        while (found := take(which, owner=owner)) is not None:
            taken.append(found)
        return taken

    with ThreadPoolExecutor(4) as pool:
        each = list(pool.map(work, [catalog, second] * 2, "abcd"))

    assert sorted(name for taken in each for name in taken) == names


@on_shared_ones
def test_of_two_that_add_to_a_line_the_first_is_first(catalog: Catalog, second: Catalog) -> None:
    """Whoever comes second waits, or its job would be run while the first is not to be seen."""
    added, committed = threading.Event(), threading.Event()

    def add_slowly() -> None:
        with catalog.write() as transaction:
            transaction.jobs.add(job("first", key="line"))
            added.set()
            SystemClock().sleep(0.2)
            committed.set()

    def add_next() -> bool:
        added.wait(30)
        with second.write() as transaction:
            transaction.jobs.add(job("next", key="line"))
            return committed.is_set()

    with ThreadPoolExecutor(2) as pool:
        slowly, after = pool.submit(add_slowly), pool.submit(add_next)
        slowly.result(60)
        assert after.result(60)

    with catalog.read() as transaction:
        assert [one.id for one in transaction.jobs.all()] == ["first", "next"]


@on_shared_ones
def test_of_two_of_a_group_that_end_at_once_one_is_the_last(
    catalog: Catalog, second: Catalog
) -> None:
    add(catalog, job("a", key="a", group="all"), job("b", key="b", group="all"))
    held = [one for _ in range(2) if (one := taken(catalog)) is not None]
    together = threading.Barrier(2)

    def end(which: Catalog, one: Job) -> bool:
        with which.write() as transaction:
            with suppress(threading.BrokenBarrierError):
                # Where there is one writer, the other never comes here.
                together.wait(0.2)
            transaction.jobs.remove(one)
            SystemClock().sleep(0.05)
            return not transaction.jobs.left("all")

    with ThreadPoolExecutor(2) as pool:
        last = list(pool.map(end, (catalog, second), held))

    assert sorted(last) == [False, True]
