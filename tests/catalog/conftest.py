"""Every kind of database that a catalog can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.catalog.connections import MEMORY
from mooring.catalog.database import Catalog
from tests.catalog.kinds import KINDS
from tests.catalog.postgresql import PostgreSQL, running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    yield from running()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if kind == "memory":
        return MEMORY
    if kind == "file":
        return f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.url()


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    """A catalog with its tables."""
    catalog = Catalog(url)
    catalog.migrate()
    yield catalog
    catalog.close()


@pytest.fixture
def second(url: str, catalog: Catalog) -> Iterator[Catalog]:
    """The same database as another process sees it; for tests marked `on_shared_ones`."""
    assert url != MEMORY
    second = Catalog(url)
    yield second
    second.close()
