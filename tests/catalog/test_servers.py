"""What servers of one catalog know of each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import text

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.servers import FORGOTTEN_MS
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import Reach, SeenServer, Server
from tests.catalog.kinds import on_shared_ones
from tests.catalog.values import job

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


def test_a_round_is_begun_once(catalog: Catalog) -> None:
    def begin(region: str = "r", every_ms: int = 3_600_000, now_ms: int = 1000) -> int:
        with catalog.write() as transaction:
            return transaction.rounds.begin(JobKind.COLLECT_VAULT, region, every_ms, now_ms)

    assert begin() == 0
    assert 0 < begin() <= 3_600_000
    assert begin("another") == 0
    assert begin(every_ms=0) == 0
    with catalog.write() as transaction:
        connection = transaction.jobs._connection
        connection.execute(text("UPDATE rounds SET begun_ms = begun_ms - 3600001"))
    assert begin() == 0
    with catalog.write() as transaction:
        connection = transaction.jobs._connection
        # As after a clock was set back.
        connection.execute(text("UPDATE rounds SET begun_ms = begun_ms + 10000000"))
    assert begin() == 0


@on_shared_ones
def test_of_two_that_begin_a_round_at_once_one_does(catalog: Catalog, second: Catalog) -> None:
    def begin(which: Catalog) -> int:
        with which.write() as transaction:
            return transaction.rounds.begin(JobKind.COLLECT_VAULT, "r", 3_600_000, 1000)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(begin, [catalog, second] * 4))
    assert found.count(0) == 1


def test_a_server_takes_what_it_can_do(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.jobs.add(job("zone", zone="there"))
        transaction.jobs.add(replace(job("region"), region="another"))
        transaction.jobs.add(replace(job("server"), server="other"))
        transaction.jobs.add(replace(job("mine"), server="me"))
        transaction.jobs.add(job("any", zone="here", not_before_ms=500))
    reach = Reach([job("any").region], ["there"])

    def take(owner: str, now_ms: int) -> str | None:
        with catalog.write() as transaction:
            found = transaction.jobs.take(owner, list(JobKind), now_ms, 3_600_000, [], reach)
        return None if found is None else found.id

    assert [take("me", 100), take("me", 100)] == ["mine", None]
    with catalog.read() as transaction:
        assert transaction.jobs.next_due_ms(list(JobKind), "me", reach) == 500
    assert [take("other", 600), take("other", 600), take("other", 600)] == ["server", "any", None]


def test_what_only_a_server_could_do_that_is_long_gone_is_anybodys(catalog: Catalog) -> None:
    begin(catalog, ONE, TWO)
    with catalog.write() as transaction:
        transaction.jobs.add(replace(job("a"), server=ONE.id))
        transaction.jobs.add(replace(job("b"), server=TWO.id))
    set_back(catalog, ONE, FORGOTTEN_MS + 60_000)
    begin(catalog, TWO)
    with catalog.read() as transaction:
        assert {one.id: one.server for one in transaction.jobs.all()} == {"a": "", "b": TWO.id}
