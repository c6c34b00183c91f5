"""Two versions on one catalog, for the time of an upgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from sqlalchemy import create_engine, inspect, text

from mooring.catalog import migrate as migrations
from mooring.catalog.database import Catalog
from mooring.model.errors import ConfigurationError
from tests.catalog.postgresql import PostgreSQL
from tests.catalog.values import disk

NEWER = {
    9001: ("color", "ALTER TABLE disks ADD COLUMN color TEXT NOT NULL DEFAULT 'grey'"),
    9002: ("contract_rounds", "DROP TABLE rounds"),
    9003: ("shape", "CREATE TABLE shapes (name TEXT)"),
}

Program = Callable[[str, bool], Catalog]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Starts a server on a catalog as this program would, or as the next version of it."""
    ours = migrations._migrations()
    opened: list[Catalog] = []

    def start(url: str, newer: bool) -> Catalog:
        known = {**ours, **NEWER} if newer else ours
        monkeypatch.setattr(migrations, "_migrations", lambda: known)
        catalog = Catalog(url)
        opened.append(catalog)
        catalog.hold(f"server-{len(opened)}")
        catalog.migrate()
        return catalog

    yield start
    for catalog in opened:
        with suppress(Exception):
            catalog.close()


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def add(catalog: Catalog, name: str) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk(name))


def names(catalog: Catalog) -> list[str]:
    with catalog.read() as transaction:
        return [one.name for one in transaction.disks.all()]


@pytest.mark.full
def test_what_is_added_is_added_beside_an_older_server(
    program: Program, postgresql: PostgreSQL
) -> None:
    url = postgresql.url()
    older = program(url, False)
    add(older, "one")
    newer = program(url, True)
    assert {"shapes", "rounds"} <= tables(url)
    add(newer, "two")
    add(older, "three")
    assert names(older) == names(newer) == ["one", "two", "three"]

    # An older one may be started again meanwhile, as after a crash.
    older.close()
    again = program(url, False)
    add(again, "four")
    assert names(newer)[-1] == "four"


@pytest.mark.full
def test_what_is_taken_away_waits_for_the_last_older_server(
    program: Program, postgresql: PostgreSQL
) -> None:
    url = postgresql.url()
    older = program(url, False)
    newer = program(url, True)
    assert newer.is_current()
    assert "rounds" in tables(url)
    program(url, True)
    assert "rounds" in tables(url)

    older.close()
    last = program(url, True)
    assert "rounds" not in tables(url)
    add(last, "one")
    with pytest.raises(ConfigurationError, match=r"migration 9002.*start the newer program"):
        program(url, False)


@pytest.mark.full
def test_a_session_that_says_nothing_is_of_an_older_program(
    program: Program, postgresql: PostgreSQL
) -> None:
    url = postgresql.url()
    program(url, False).close()
    key = "hashtextextended('mooring server of ' || current_schema()::text, 0)"
    engine = create_engine(url)
    with engine.connect() as silent:
        silent.execute(text(f"SELECT pg_advisory_lock_shared({key})"))
        program(url, True)
        assert "rounds" in tables(url)
    engine.dispose()
    program(url, True)
    assert "rounds" not in tables(url)


@pytest.mark.full
def test_tables_from_before_servers_shared_any_are_changed_alone(
    program: Program, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs of then would not have let this one in either."""
    url = postgresql.url()
    program(url, False).close()
    monkeypatch.setattr(migrations, "FIRST_SHARED", 9003)
    first = program(url, False)
    with pytest.raises(ConfigurationError, match="must change the tables first"):
        program(url, True)
    first.close()
    program(url, True)
    assert "rounds" not in tables(url)


def test_the_one_server_of_a_file_changes_everything(program: Program, tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/catalog.sqlite"
    program(url, False).close()
    program(url, True).close()
    assert "rounds" not in tables(url)
    assert "shapes" in tables(url)
    with pytest.raises(ConfigurationError, match="start the newer program"):
        program(url, False)
