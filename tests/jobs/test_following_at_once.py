"""Two servers that let the same resource follow the configuration at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mooring.jobs.automatic.following import Followers
from mooring.model.operation import ResourceType
from tests.catalog.postgresql import PostgreSQL
from tests.service.test_twice_at_once import LingeringCatalog
from tests.service.three_servers import another_server
from tests.service.world import World

pytestmark = pytest.mark.full

HOURLY, SECONDS = "hourly keep 1 day", 30


def test_one_of_two_lets_it_follow(postgresql: PostgreSQL) -> None:
    """An instance that is on no host yet is looked after by all that have its zone."""
    url = postgresql.url()
    world = World(catalog=LingeringCatalog(url))
    world.instance()
    catalogs = [LingeringCatalog(url) for _ in range(2)]
    together = threading.Barrier(2)

    def look(catalog: LingeringCatalog) -> None:
        backend = another_server(world.backend, "beside", catalog)
        followers = Followers(backend, ResourceType.INSTANCE, HOURLY)
        catalog.lingers = True
        together.wait(SECONDS)
        followers.look()

    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(look, catalogs))
        with world.catalog.read() as transaction:
            (instance,) = transaction.instances.all()
            assert len(transaction.auto_runs.of(instance.id)) == 1
    finally:
        for catalog in (*catalogs, world.catalog):
            catalog.close()
