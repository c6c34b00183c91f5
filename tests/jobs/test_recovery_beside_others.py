"""A host that starts while another one takes snapshots."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.engine.memory import MemoryEngine
from mooring.jobs.recover import recover
from mooring.model.resources.server import Server
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import ZONE, World

pytestmark = pytest.mark.full

SECONDS = 30


def test_what_the_other_has_stored_meanwhile_is_not_taken_back(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start finds it pending, and then looks for its job, which has ended."""
    url = postgresql.url()
    world = World(catalog=Catalog(url))
    world.disk()
    freeze, look = world.engine.freeze, Transaction.snapshot
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(SECONDS)
        return freeze(*given)

    def find(transaction: Transaction, snapshot_id: str) -> Any:
        found = look(transaction, snapshot_id)
        monkeypatch.undo()
        go_on.set()
        assert asked.result(SECONDS)
        world.settle()
        return found

    monkeypatch.setattr(world.engine, "freeze", slowly)
    catalog = Catalog(url)
    other = replace(
        world.backend,
        catalog=catalog,
        this_server=Server(id="other"),
        engines={ZONE: MemoryEngine()},
    )
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(world.snapshot, "snap")
        assert begun.wait(SECONDS)
        monkeypatch.setattr(Transaction, "snapshot", find)
        recover(other)

    assert go_on.is_set(), "nothing was pending"
    assert world.state("snap")["state"] == "completed"
    catalog.close()
    world.close()
