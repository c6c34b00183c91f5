"""Second tries of calls whose first ones are under way yet."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mooring.model.errors import InvalidInputException
from mooring.service.context import Context
from mooring.service.table import handlers
from mooring.service.tries import Tries
from tests.catalog.postgresql import PostgreSQL
from tests.service.test_twice_at_once import LingeringCatalog
from tests.service.three_servers import another_server
from tests.service.world import REGION, ZONE, World

SECONDS = 30


@pytest.mark.parametrize("own", [False, True], ids=["snapshot", "fork"])
def test_a_second_try_gets_the_answer_of_the_first_that_lasts(
    world: World, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    world.disk()
    method = "fork" if own else "freeze"
    do = getattr(world.engine, method)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any, **more: Any) -> Any:
        begun.set()
        assert go_on.wait(SECONDS)
        return do(*given, **more)

    def ask() -> Any:
        if own:
            return world.act("fork", invocation="one", diskName="data", newDiskName="more")
        return world.snapshot("snap", invocation="one")

    monkeypatch.setattr(world.engine, method, slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        assert begun.wait(SECONDS)
        second = pool.submit(ask)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        assert first.result(SECONDS) == second.result(SECONDS)
    with pytest.raises(InvalidInputException, match="in use"):
        world.snapshot("snap" if not own else "more")


def test_calls_that_are_no_tries_of_one_another_do_not_wait() -> None:
    tries = Tries()

    def context(caller: str, invocation: str | None) -> Context:
        return Context(REGION, caller, "request", invocation, 0)

    with (
        tries.alone(context("one", "id")),
        tries.alone(context("one", "other")),
        tries.alone(context("two", "id")),
        tries.alone(context("one", None)),
        tries.alone(context("one", None)),
    ):
        pass
    assert not tries._calls, "none is remembered"


@pytest.mark.full
def test_tries_at_two_servers_get_one_answer(postgresql: PostgreSQL) -> None:
    url = postgresql.url()
    world = World(catalog=LingeringCatalog(url))
    catalogs = [LingeringCatalog(url) for _ in range(2)]
    together = threading.Barrier(2)

    def ask(catalog: LingeringCatalog) -> Any:
        backend = another_server(world.backend, "beside", catalog)
        handle = handlers(backend)["CreateDisk"]
        context = Context(REGION, "AKIATEST", "request", "one", world.clock.now_ms())
        catalog.lingers = True
        together.wait(SECONDS)
        return handle(context, {"diskName": "data", "availabilityZone": ZONE, "sizeInGb": 8})

    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = (pool.submit(ask, one) for one in catalogs)
            assert first.result(SECONDS) == second.result(SECONDS)
    finally:
        for catalog in (*catalogs, world.catalog):
            catalog.close()
