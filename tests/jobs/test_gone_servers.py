"""What a server has left that is gone for good."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.servers import FORGOTTEN_MS
from mooring.model.resources.server import Server
from tests.catalog.postgresql import PostgreSQL
from tests.jobs.test_troubles import AWAY, Watched
from tests.service.world import World

pytestmark = pytest.mark.full


def test_its_troubles_end_when_it_is_forgotten(postgresql: PostgreSQL) -> None:
    """Nobody else sees whether they last: they would be told again every day, for ever."""
    world = World(catalog=Catalog(postgresql.url()))
    with world.catalog.write() as transaction:
        transaction.servers.begin(Server(id="gone", name="gone"), 0)
        transaction.troubles.begin(replace(AWAY, server="gone"), 0)
    watched = Watched(world)
    assert watched.look() == ["NEW"]
    assert watched.look(60.0) == [], "it may be back"

    with world.catalog.write() as transaction:
        older = text("UPDATE servers SET seen_ms = seen_ms - :long")
        transaction.connection.execute(older, {"long": FORGOTTEN_MS + 1000})
    assert watched.look() == []
    assert watched.look(60.0) == ["OVER"]
    with world.catalog.read() as transaction:
        assert transaction.servers.all(0) == [], "though none has started since"
    world.close()
