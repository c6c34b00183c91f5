"""Two hosts of one name, of which one was not heard of for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from mooring.catalog.database import Catalog
from mooring.host.room import Room
from mooring.jobs.watching.hosts import HostWatch
from mooring.model.errors import ConfigurationError
from mooring.model.resources.host import SILENT_MS, Host
from mooring.model.resources.server import Server
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import ZONE, World

pytestmark = pytest.mark.full

TAKEN = "another host that is called twin, at https://{}: .* a name of its own .* or stop that one"


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    world = World(catalog=Catalog(postgresql.url()))
    yield world
    world.close()


def host(world: World, host_id: str) -> HostWatch:
    backend = replace(world.backend, this_server=Server(id=host_id))
    about = Host(id=host_id, name="twin", zones=[ZONE], address=f"https://{host_id}")
    return HostWatch(backend, about, lambda: Room(Path("/"), 1, 1), list)


def be_silent(world: World) -> None:
    with world.catalog.write() as transaction:
        older = text("UPDATE hosts SET seen_ms = seen_ms - :long")
        transaction.connection.execute(older, {"long": SILENT_MS + 1000})


def shown(world: World) -> dict[str, str]:
    with world.catalog.read() as transaction:
        return {one.host.id: one.shown for one in transaction.hosts.all(0)}


def test_one_at_a_time_is_up(world: World) -> None:
    first, second = host(world, "first"), host(world, "second")
    first.begin()
    with pytest.raises(ConfigurationError, match=TAKEN.format("first")):
        second.begin()
    be_silent(world)
    second.begin()

    # The first one wakes.
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=TAKEN.format("second")):
            first.look()
        assert shown(world) == {"first": "silent", "second": "up"}

    second.look()
    second.stop()
    first.look()
    assert shown(world) == {"first": "up", "second": "ended"}


def test_who_was_replaced_may_replace_in_turn(world: World) -> None:
    first, second = host(world, "first"), host(world, "second")
    first.begin()
    be_silent(world)
    second.begin()
    be_silent(world)
    first.look()
    assert shown(world) == {"first": "up", "second": "silent"}
    with pytest.raises(ConfigurationError, match=TAKEN.format("first")):
        second.look()
