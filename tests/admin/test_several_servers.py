"""What is told of the servers of one catalog on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mooring.admin.health.servers import server_findings
from mooring.config.settings import EngineSettings, Settings
from mooring.wiring.server import build_server
from tests.catalog.postgresql import PostgreSQL, running

pytestmark = pytest.mark.full


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
