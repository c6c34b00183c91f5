"""A catalog is one server's; a hold that is lost is noticed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mooring.catalog.connections import MEMORY
from mooring.catalog.database import Catalog
from mooring.model.errors import CatalogError, ConfigurationError
from tests.catalog.kinds import on_shared_ones
from tests.catalog.values import job

OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


@pytest.fixture
def first(url: str) -> Iterator[Catalog]:
    first = Catalog(url)
    first.hold()
    first.migrate()
    yield first
    first.close()


def add(catalog: Catalog, name: str) -> None:
    with catalog.write() as transaction:
        transaction.jobs.add(job(name))


def end_sessions(url: str) -> None:
    """As a restart of the database does. Only this test's server uses the database."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(OTHERS))
    engine.dispose()


@on_shared_ones
def test_a_second_server_is_refused_until_the_first_has_ended(first: Catalog, url: str) -> None:
    second = Catalog(url)
    with pytest.raises(ConfigurationError, match=r"another server.* uses the catalog .*: stop it"):
        second.hold()
    first.hold()  # as often as one likes
    add(first, "one")

    first.close()
    second.hold()
    add(second, "two")
    second.close()


@on_shared_ones
def test_commands_read_beside_the_server(first: Catalog, url: str) -> None:
    add(first, "one")
    beside = Catalog(url)
    assert beside.is_current()
    with beside.read() as transaction:
        assert [one.id for one in transaction.jobs.all()] == ["one"]
    beside.close()


def test_a_file_named_by_a_link_is_the_same(tmp_path: Path) -> None:
    first = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    first.hold()
    first.migrate()
    (tmp_path / "link").symlink_to(tmp_path / "catalog.sqlite")
    second = Catalog(f"sqlite:///{tmp_path / 'link'}")

    with pytest.raises(ConfigurationError, match="another server uses the catalog"):
        second.hold()
    first.close()
    second.close()


def test_a_place_where_nothing_can_be_held(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'nowhere' / 'catalog.sqlite'}")
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        catalog.hold()
    catalog.close()


def test_catalogs_in_memory_are_each_its_own() -> None:
    catalogs = [Catalog(MEMORY) for _ in range(2)]
    for one in catalogs:
        one.hold()
        one.migrate()
        add(one, "one")
        one.close()


@pytest.mark.full
@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_other_schemas_are_other_catalogs(
    first: Catalog, request: pytest.FixtureRequest, url: str
) -> None:
    other = Catalog(request.getfixturevalue("postgresql").url())
    other.hold()
    other.close()
    add(first, "one")


@pytest.mark.full
@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_a_hold_that_ends_is_taken_again(first: Catalog, url: str) -> None:
    end_sessions(url)

    add(first, "one")

    assert first.problem() is None
    second = Catalog(url)
    with pytest.raises(ConfigurationError, match="another server"):
        second.hold()
    second.close()


@pytest.mark.full
@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_whoever_lost_the_catalog_to_another_records_nothing(
    first: Catalog, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(first, "one")
    # As if the network had been away from the first one only.
    hold = first._hold
    assert hold is not None
    monkeypatch.setattr(hold, "_take", lambda: " (nobody can be reached)")
    end_sessions(url)
    with pytest.raises(CatalogError):
        add(first, "lost")
    monkeypatch.undo()
    second = Catalog(url)
    second.hold()

    with pytest.raises(CatalogError, match=r"another server.*has taken the catalog.*stop one"):
        add(first, "lost")
    told = first.problem()
    assert told is not None
    assert "another server" in told
    with second.read() as transaction:
        assert [one.id for one in transaction.jobs.all()] == ["one"]

    second.close()
    add(first, "two")
    assert first.problem() is None


def test_a_file_that_was_moved_is_not_written_to(tmp_path: Path) -> None:
    file, aside = tmp_path / "catalog.sqlite", tmp_path / "aside"
    catalog = Catalog(f"sqlite:///{file}")
    catalog.hold()
    catalog.migrate()
    add(catalog, "one")
    with catalog.read():
        pass  # which leaves a connection in the pool

    file.rename(aside)
    with pytest.raises(CatalogError, match=r"is away \(No such file or directory\).*put it back"):
        add(catalog, "lost")
    told = catalog.problem()
    assert told is not None
    assert "is away" in told
    # As many as are not in the pool yet: each would make an empty database.
    with contextlib.ExitStack() as readers:
        readers.enter_context(catalog.read())
        with pytest.raises(CatalogError, match="is away"):
            readers.enter_context(catalog.read())
    assert not file.exists()

    file.write_bytes(b"")
    with pytest.raises(CatalogError, match="is another file now"):
        add(catalog, "lost")

    aside.rename(file)
    add(catalog, "two")
    assert catalog.problem() is None
    with catalog.read() as transaction:
        assert [one.id for one in transaction.jobs.all()] == ["one", "two"]
    catalog.close()
