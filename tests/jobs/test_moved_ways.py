"""Ways over the network to instances that were moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.jobs.watching.relay import RelayWatch
from mooring.relay.process import RelayProcess
from mooring.relay.ways import Way, Ways
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import REGION, World

pytestmark = pytest.mark.full


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    world = World(catalog=Catalog(postgresql.url()))
    yield world
    world.close()


def test_a_way_ends_with_the_move(world: World, run_dir: Path) -> None:
    """Else it would be there again after a move back, though it was closed elsewhere meanwhile."""
    ways = Ways(run_dir)
    relay = RelayProcess(run_dir, None, world.clock)
    watch = RelayWatch(replace(world.backend, relay=relay))
    for name in ("stays", "goes"):
        world.instance(name)
        with world.catalog.read() as transaction:
            found = transaction.instances.by_name(REGION, name)
        assert found is not None
        ways.open(Way(REGION, name, found.id, "/nowhere"))
    watch.look()
    assert [way.instance for way in ways.all()] == ["goes", "stays"]

    moved = ways.find(REGION, "goes")
    assert moved is not None
    with world.catalog.write() as transaction:
        transaction.instances.change(moved.instance_id, host="other")
    watch.look()

    assert [way.instance for way in ways.all()] == ["stays"]
