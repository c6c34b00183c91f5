"""Rows of hosts: their generations, and what fencing ends."""

from __future__ import annotations

from sqlalchemy import text

from mooring.catalog.database import Catalog
from mooring.model.resources.host import SILENT_MS, Host, HostState

NOW = 1_000_000
ALPHA = Host(id="id-alpha", name="alpha", zones=["us-east-2a"], address="http://a")


def test_a_generation_ends_with_the_next_start_and_with_a_fence(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        hosts = transaction.hosts
        first = hosts.begin(ALPHA, NOW)
        assert hosts.beat(ALPHA.id, first, NOW, capacity_bytes=100, free_bytes=40)
        second = hosts.begin(ALPHA, NOW)
        assert second > first
        assert not hosts.beat(ALPHA.id, first, NOW, capacity_bytes=1, free_bytes=1)
        hosts.end(ALPHA.id, first, NOW)
        (seen,) = hosts.all(NOW)
        assert (seen.state, seen.free_bytes, list(seen.host.zones)) == (
            HostState.UP,
            40,
            ["us-east-2a"],
        )

        hosts.fence(ALPHA.id)
        assert not hosts.beat(ALPHA.id, second, NOW, capacity_bytes=1, free_bytes=1)
        found = hosts.by_name("alpha", NOW)
        assert found is not None
        assert found.problem is not None
        assert "was fenced" in found.problem
        third = hosts.begin(ALPHA, NOW)
        hosts.end(ALPHA.id, third, NOW)
        assert hosts.all(NOW)[0].shown == "ended"


def test_the_row_says_what_the_host_is_now_and_holds_no_secret(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.hosts.begin(ALPHA, NOW)
        connection = transaction.hosts._connection
        connection.execute(text("UPDATE hosts SET secret = 'of an earlier program'"))
        transaction.hosts.begin(Host(id=ALPHA.id, name="renamed", address="http://b"), NOW)
        (seen,) = transaction.hosts.all(NOW)
        assert connection.execute(text("SELECT secret FROM hosts")).scalar() == ""
    assert (seen.host.name, seen.host.address) == ("renamed", "http://b")


def test_silence_counts_only_while_a_host_should_speak(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.hosts.begin(ALPHA, NOW)
        if not catalog.is_for_many:  # there, time is the database's
            (seen,) = transaction.hosts.all(NOW + SILENT_MS + 1)
            assert seen.is_silent
            assert not seen.is_up
            assert seen.problem is not None
        (seen,) = transaction.hosts.all(NOW)
        assert seen.is_up
