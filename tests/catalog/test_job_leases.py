"""Who has a job: leases, servers that end, clocks that jump."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.catalog.database import Catalog
from mooring.model.errors import LeaseLostError
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.catalog.taking import ENDED, LEASE, add, take, taken
from tests.catalog.values import job


def test_a_lease_ends_unless_it_is_renewed(catalog: Catalog) -> None:
    add(catalog, job("a1"))
    mine = taken(catalog)
    assert mine is not None

    def renew(owner: str, job: Job, lease_ms: int = LEASE) -> set[str]:
        with catalog.write() as transaction:
            return transaction.jobs.renew(owner, {"a1": job.generation}, 100, lease_ms)

    assert take(catalog, owner="you") is None
    assert not renew("me", mine)
    assert take(catalog, owner="you") is None
    assert not renew("me", mine, ENDED)
    # Nobody was quicker, so it is not lost.
    assert not renew("me", mine, ENDED)
    yours = taken(catalog, owner="you")
    assert yours is not None
    assert renew("me", mine) == {"a1"}
    assert not renew("you", yours)
    assert renew("you", mine) == {"a1"}


def test_leases_are_renewed_together(catalog: Catalog) -> None:
    add(catalog, job("a"), job("b"), job("c"), job("d"))
    names, held = ["a", "b", "c"], list[Job]()
    for number in range(3):
        found = taken(catalog, lease_ms=ENDED, running=names[:number])
        assert found is not None
        held.append(found)
    assert [one.id for one in held] == names
    stolen = taken(catalog, owner="you")
    assert stolen is not None

    with catalog.write() as transaction:
        transaction.jobs.remove(held[1])
        generations = {one.id: one.generation for one in held}
        assert transaction.jobs.renew("me", generations, 100, LEASE) == {"a", "b"}
    assert [take(catalog, owner="you"), take(catalog, owner="you")] == ["d", None]


@pytest.mark.parametrize("writes", [False, True])
def test_a_job_is_asked_for_by_whoever_took_it(catalog: Catalog, writes: bool) -> None:
    add(catalog, job("a1"))
    mine = taken(catalog, lease_ms=ENDED)
    assert mine is not None

    def ask(one: Job) -> None:
        with catalog.write() if writes else catalog.read() as transaction:
            transaction.jobs.check_held(one)

    ask(mine)
    yours = taken(catalog, owner="you")
    assert yours is not None
    ask(yours)
    with pytest.raises(LeaseLostError, match="a1"):
        ask(mine)
    with catalog.write() as transaction:
        transaction.jobs.remove(yours)
    with pytest.raises(LeaseLostError, match="a1"):
        ask(yours)


@pytest.mark.parametrize("act", ["record", "release", "remove"])
@pytest.mark.parametrize("thief", ["you", "me"])
def test_only_whoever_took_a_job_last_records_how_far_it_is(
    catalog: Catalog, act: str, thief: str
) -> None:
    """Not even the same server, when it has taken the job a second time."""
    add(catalog, job("a1"), job("b1"))
    first = taken(catalog, owner="me", lease_ms=ENDED)
    second = taken(catalog, owner=thief)
    assert first is not None
    assert second is not None
    assert second.generation == first.generation + 1
    done = replace(first, step=1)

    def record() -> None:
        with catalog.write() as transaction:
            transaction.jobs.remove_all("b1")
            if act == "remove":
                transaction.jobs.remove(done)
            else:
                transaction.jobs.record(done, release=act == "release")

    with pytest.raises(LeaseLostError, match="a1"):
        record()

    with catalog.write() as transaction:
        assert transaction.jobs.by_id("b1") is not None, "what goes with it was recorded"
        assert transaction.jobs.by_id("a1") == second
        transaction.jobs.record(replace(second, step=1))
        transaction.jobs.remove(second)
    with pytest.raises(LeaseLostError), catalog.write() as transaction:
        transaction.jobs.remove(second)


def test_a_server_whose_leases_were_freed_records_nothing(catalog: Catalog) -> None:
    add(catalog, job("a1"))
    mine = taken(catalog)
    assert mine is not None
    with catalog.write() as transaction:
        transaction.jobs.take_over("me")

    with pytest.raises(LeaseLostError), catalog.write() as transaction:
        transaction.jobs.record(mine)
    with catalog.write() as transaction:
        assert transaction.jobs.renew("me", {"a1": mine.generation}, 100, LEASE) == {"a1"}


def test_a_server_takes_over_only_what_was_its_own(catalog: Catalog, kind: str) -> None:
    add(catalog, job("a1"), job("a2"), job("a3"))
    assert [take(catalog, owner=one) for one in ("me", "you")] == ["a1", "a2"]

    with catalog.write() as transaction:
        transaction.jobs.take_over("me")

    # A file has one server at a time: there nobody else can be alive.
    shared = kind == "postgresql"
    again = [take(catalog, owner="me") for _ in range(3)]
    assert again == (["a1", "a3", None] if shared else ["a1", "a2", "a3"])


def test_a_server_that_ends_lets_go_of_what_it_does_not_run_any_more(catalog: Catalog) -> None:
    add(catalog, job("a1"), job("a2"), job("a3"))
    first = taken(catalog, owner="me")
    assert [take(catalog, owner=one) for one in ("me", "you")] == ["a2", "a3"]
    told: list[JobKind] = []
    catalog.tell(told.extend)

    with catalog.write() as transaction:
        transaction.jobs.release("me", ["a2"])

    assert len(told) == 1
    assert [take(catalog, owner="you"), take(catalog, owner="you")] == ["a1", None]
    assert first is not None
    with pytest.raises(LeaseLostError), catalog.write() as transaction:
        transaction.jobs.record(first)


def test_a_clock_that_jumps_ahead_makes_nobody_run_a_job_twice(catalog: Catalog, kind: str) -> None:
    """Nor ends the leases of others, where there are any: those go by the database's clock."""
    add(catalog, job("a1"))
    assert take(catalog) == "a1"

    assert take(catalog, now_ms=2**52, running=["a1"]) is None
    assert take(catalog, now_ms=2**52) == (None if kind == "postgresql" else "a1")


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
@pytest.mark.full
@pytest.mark.parametrize("now_ms", [5, 2**52])
def test_a_clock_that_is_wrong_makes_no_lease_shorter_or_longer(
    catalog: Catalog, now_ms: int
) -> None:
    add(catalog, job("a1"), job("a2"))

    assert take(catalog, now_ms=now_ms, owner="wrong") == "a1"
    over = taken(catalog, now_ms=now_ms, owner="wrong", lease_ms=ENDED)
    assert over is not None
    assert [take(catalog, owner="right") for _ in range(2)] == ["a2", None]


def test_a_clock_that_jumps_back_gives_nobody_a_job_that_is_leased(catalog: Catalog) -> None:
    add(catalog, job("a1"))
    assert take(catalog, now_ms=10**12) == "a1"

    assert take(catalog, now_ms=5, owner="you") is None
    with catalog.write() as transaction:
        transaction.jobs.take_over("me")
    assert take(catalog, now_ms=5, owner="you") == "a1"


def test_how_far_a_job_is_outlives_its_owner(catalog: Catalog) -> None:
    add(catalog, job("a1"))
    mine = taken(catalog)
    assert mine is not None
    failing = replace(
        mine, step=2, attempts=3, not_before_ms=700, undoing=True,
        error_code="DiskFull", error_details="no room",
    )  # fmt: skip

    with catalog.write() as transaction:
        transaction.jobs.record(failing)
    assert take(catalog, now_ms=129) is None
    with catalog.write() as transaction:
        transaction.jobs.record(failing, release=True)
    assert take(catalog, now_ms=699) is None
    assert taken(catalog, now_ms=700, owner="you") == replace(
        failing, generation=mine.generation + 1
    )
