"""Operations are forgotten long after their end; the others and the pages stay right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.catalog.database import Catalog
from mooring.jobs.old_operations import AGAIN_SECONDS, BATCH, BATCHES, OldOperations
from mooring.jobs.schedule import Schedule
from mooring.model.automatic.rhythm import DAY_MS
from mooring.model.errors import NotFoundException
from mooring.model.operation import OperationStatus
from tests.catalog.conftest import catalog, kind, postgresql, url
from tests.catalog.values import operation
from tests.service.world import REGION, World

__all__ = ["catalog", "kind", "postgresql", "url"]

DAYS = 90


@pytest.fixture
def world(catalog: Catalog) -> World:
    """On each kind of database."""
    world = World()
    world.backend = replace(world.backend, catalog=catalog)
    return world


def add(world: World, count: int, status: OperationStatus = OperationStatus.SUCCEEDED) -> None:
    """Operations that begin and end now."""
    now = world.clock.now_ms()
    times = {"created_ms": now, "changed_ms": now}
    made = [
        operation(number, id=world.backend.ids.new_id(), status=status, **times)
        for number in range(count)
    ]
    with world.backend.catalog.write() as transaction:
        transaction.operations.add(made)


def ids(world: World, page: int = 100) -> list[str]:
    """All operations, as a client walks through the pages."""
    found, before = [], None
    while True:
        with world.backend.catalog.read() as transaction:
            some, before = transaction.operations.page(REGION, before, page)
        found += [one.id for one in some]
        if before is None:
            return found


def days_pass(world: World, days: float) -> None:
    world.clock.advance(days * DAY_MS / 1000)


def test_what_ended_long_ago_is_forgotten(world: World) -> None:
    old = OldOperations(world.backend, DAYS)
    add(world, 3)
    days_pass(world, 1)
    add(world, 2)
    young = ids(world)[:2]
    days_pass(world, DAYS - 0.5)
    old.look()
    assert ids(world) == young
    days_pass(world, 1)
    old.look()
    assert ids(world) == []


def test_what_has_not_ended_stays(world: World) -> None:
    old = OldOperations(world.backend, DAYS)
    add(world, 1, OperationStatus.STARTED)
    days_pass(world, 1)
    add(world, 2, OperationStatus.FAILED)
    *_, waiting = ids(world)
    days_pass(world, 10 * DAYS)
    for _ in range(3):
        old.look()
        world.clock.advance(AGAIN_SECONDS)
    assert ids(world) == [waiting]
    # Its time begins when it ends.
    with world.backend.catalog.write() as transaction:
        transaction.operations.add([operation(9, id="late", job_id="job", created_ms=0)])
        transaction.operations.finish("job", world.clock.now_ms())
    old.look()
    assert ids(world) == ["late", waiting]


def test_a_clock_that_was_ahead_keeps_some_a_little_longer(world: World) -> None:
    old = OldOperations(world.backend, DAYS)
    add(world, 2)
    days_pass(world, 400)
    add(world, 5)
    days_pass(world, -400)
    add(world, 2)
    ahead = ids(world)[2:7]
    days_pass(world, DAYS + 1)
    old.look()
    assert ids(world) == ahead


def test_many_go_in_small_batches_while_somebody_turns_pages(world: World) -> None:
    old = OldOperations(world.backend, DAYS)
    count = BATCH * BATCHES + BATCH // 2
    add(world, count)
    days_pass(world, DAYS + 1)
    add(world, 150)
    young = ids(world)[:150]
    with world.backend.catalog.read() as transaction:
        first, before = transaction.operations.page(REGION, None, 100)
    old.look()
    assert len(ids(world, 1000)) == 150 + BATCH // 2  # the rest is for the next round
    with world.backend.catalog.read() as transaction:
        second, end = transaction.operations.page(REGION, before, 50)
    assert [one.id for one in first + second] == young
    assert end is not None
    old.look()
    assert ids(world) == young


def test_the_schedule_does_it_by_the_setting() -> None:
    world = World()
    world.disk()
    kept = Schedule(world.backend, [])
    forgetting = Schedule(world.backend, [], keep_operations_days=DAYS)
    (found,) = world.operations("data")
    days_pass(world, DAYS + 1)
    kept.look()
    assert world.operations("data") == [found]
    forgetting.look()
    assert world.operations("data") == []
    with pytest.raises(NotFoundException):
        world.call("GetOperation", operationId=found["id"])
    assert world.call("GetOperations")["operations"] == []
    world.close()
