"""What is told of the servers of one catalog on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mooring.admin.health.servers import server_findings
from mooring.config.check import check
from mooring.config.settings import EngineSettings, Region, Settings
from mooring.model.errors import ConfigurationError
from mooring.wiring.server import Mooring, build_server
from tests.catalog.postgresql import PostgreSQL, running

pytestmark = pytest.mark.full
ZONE = "us-east-2a"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    yield from running()


@pytest.fixture
def settings(tmp_path: Path, postgresql: PostgreSQL) -> Settings:
    return Settings(
        data=str(tmp_path / "data"),
        name="first",
        engine=EngineSettings(kind="memory"),
        catalog=postgresql.url(),
    )


def silence(settings: Settings, seconds: int) -> None:
    """Let the catalog have heard of its servers so long ago."""
    engine = create_engine(settings.catalog)
    with engine.begin() as connection:
        statement = "UPDATE servers SET seen_ms = seen_ms - :ms"
        connection.execute(text(statement), {"ms": seconds * 1000})
    engine.dispose()


def test_doctor_tells_of_servers(settings: Settings) -> None:
    mooring = build_server(settings)
    try:
        mooring.start()
        ((ok, told),) = server_findings(settings)
        assert ok
        assert "server first on " in told
        assert "jobs: 2 quick, 2 bulk, 2 filling): runs, heard of " in told

        silence(settings, 300)
        ((ok, told),) = server_findings(settings)
        assert not ok
        assert "not heard of for 5 minutes. Start it again, or see" in told
    finally:
        mooring.stop()

    ((ok, told),) = server_findings(settings)
    assert ok
    assert ": ended " in told


def beside(settings: Settings, name: str, **regions: Region) -> Settings:
    """Another server of the same catalog."""
    data = settings.data_directory.parent / name
    named = {region.replace("_", "-"): one for region, one in regions.items()}
    return replace(settings, data=str(data), name=name, regions=named)


@contextmanager
def served(settings: Settings) -> Iterator[Mooring]:
    mooring = build_server(settings)
    try:
        mooring.start()
        yield mooring
    finally:
        mooring.stop()


def refusal(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught, served(settings):
        pass
    return str(caught.value)


def test_what_keeps_a_second_server_out(settings: Settings) -> None:
    vault = str(settings.data_directory.parent / "vault")
    first = beside(settings, "first", us_east_2=Region(zones=[ZONE], vault=vault))
    away = Region(elsewhere=[ZONE], vault=f"{vault}-of-its-own")
    third = beside(settings, "third", us_east_2=Region(elsewhere=[ZONE], vault=vault))
    with served(first):
        second = beside(settings, "second", us_east_2=Region(zones=[ZONE], vault=vault))
        assert "serves the zone us-east-2a of the catalog" in refusal(second)
        told = refusal(beside(settings, "fourth", us_east_2=away))
        assert "holds none" in told
        assert "The server first uses the catalog, too" in told

        with served(third) as mooring:
            assert [one.name for one in mooring._others()] == ["first"]
            copied = beside(settings, "copy", us_east_2=third.regions["us-east-2"])
            copied.data_directory.mkdir()
            shutil.copy(third.data_directory / "server-id", copied.data_directory)
            assert "remove server-id there" in refusal(copied)
            (copied.data_directory / "server-id").unlink()
            with served(copied):
                pass
    # Nobody has the zone's disks now.
    with served(second):
        pass


def test_an_older_program_and_a_newer_one_use_no_catalog_together(settings: Settings) -> None:
    """Older ones want the catalog for themselves; who must migrate it, does too."""
    engine = create_engine(settings.catalog)
    key = "hashtextextended('mooring server of ' || current_schema()::text, 0)"
    with engine.connect() as older:
        older.execute(text(f"SELECT pg_advisory_lock_shared({key})"))
        assert "must change the tables first" in refusal(settings)
        older.execute(text(f"SELECT pg_advisory_unlock_shared({key})"))
        with served(settings):
            assert not older.execute(text(f"SELECT pg_try_advisory_lock({key})")).scalar()
        older.execute(text(f"SELECT pg_advisory_lock({key})"))
        assert "of an older version" in refusal(settings)
    engine.dispose()


def test_only_a_database_has_servers_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="only a catalog on PostgreSQL"):
        check(Settings(data=str(tmp_path), regions={"us-east-2": Region(elsewhere=[ZONE])}))


def test_nothing_is_told_of_the_one_server_of_a_file(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "data"), engine=EngineSettings(kind="memory"))
    mooring = build_server(settings)
    try:
        mooring.start()
        with mooring.backend.catalog.read() as transaction:
            assert transaction.servers.all(0) == []
    finally:
        mooring.stop()
    assert list(server_findings(settings)) == []
