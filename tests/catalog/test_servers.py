"""What servers of one catalog know of each other."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import text

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.servers import FORGOTTEN_MS
from mooring.model.resources.server import SeenServer, Server

ONE = Server(id="1", name="one", host="h", version="1.2", lanes={"quick": 2})
TWO = replace(ONE, id="2", name="two")


def begin(catalog: Catalog, *servers: Server) -> None:
    with catalog.write() as transaction:
        for server in servers:
            transaction.servers.begin(server, 1000)


def seen(catalog: Catalog) -> dict[str, SeenServer]:
    with catalog.read() as transaction:
        return {one.server.name: one for one in transaction.servers.all(1000)}


def set_back(catalog: Catalog, server: Server, milliseconds: int) -> None:
    """As if the server had been heard of so long ago."""
    with catalog.write() as transaction:
        transaction.jobs._connection.execute(
            text(
                "UPDATE servers SET started_ms = started_ms - :ms, seen_ms = seen_ms - :ms "
                "WHERE id = :id"
            ),
            {"ms": milliseconds, "id": server.id},
        )


def test_a_server_comes_back_as_it_was(catalog: Catalog) -> None:
    begin(catalog, TWO, ONE)

    found = seen(catalog)
    assert [one.server for one in found.values()] == [ONE, TWO]
    assert not found["one"].ended
    assert found["one"].silent_ms < 60_000


def test_a_server_is_heard_of_by_the_clock_of_its_leases(catalog: Catalog, kind: str) -> None:
    begin(catalog, ONE)
    set_back(catalog, ONE, 100_000)
    assert seen(catalog)["one"].silent_ms >= 100_000

    with catalog.write() as transaction:
        assert transaction.servers.beat("1", 2**52 if kind == "postgresql" else 1000)
        assert not transaction.servers.beat("2", 1000)
    assert abs(seen(catalog)["one"].silent_ms) < 60_000
    assert seen(catalog)["one"].lived_ms >= 100_000


def test_a_server_that_ended_in_order_begins_anew(catalog: Catalog) -> None:
    begin(catalog, ONE, TWO)
    with catalog.write() as transaction:
        transaction.servers.end("1", 1000)
    assert {name: one.ended for name, one in seen(catalog).items()} == {"one": True, "two": False}

    begin(catalog, replace(ONE, version="1.3"))
    assert seen(catalog)["one"].server.version == "1.3"
    assert not seen(catalog)["one"].ended


def test_a_server_that_is_long_gone_is_forgotten(catalog: Catalog) -> None:
    begin(catalog, ONE, TWO)
    set_back(catalog, ONE, FORGOTTEN_MS - 60_000)
    begin(catalog, TWO)
    assert seen(catalog).keys() == {"one", "two"}

    set_back(catalog, ONE, 120_000)
    begin(catalog, TWO)
    assert seen(catalog).keys() == {"two"}
    with catalog.write() as transaction:
        assert not transaction.servers.beat("1", 1000)
