"""How the database is reached: with TLS, without, from this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.health.servers import _of_way
from mooring.catalog.database import Catalog
from mooring.catalog.way import Way
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from tests.catalog.postgresql import PostgreSQL, running
from tests.e2e.authority import Authority

ABROAD = Way(local=False, encrypted=True, mode="verify-full", now_ms=1_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    Authority("ours").issue(folder, "server")
    Authority("others").issue(folder / "others", "server")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PostgreSQL]:
    yield from running(certificate=folder)


def url(server: PostgreSQL, **options: str) -> str:
    chosen = "".join(f"&{name}={value}" for name, value in options.items())
    return f"postgresql://localhost/postgres?port={server.port}&user=mooring{chosen}"


def way(url: str) -> Way:
    catalog = Catalog(url)
    try:
        return catalog.way()
    finally:
        catalog.close()


@pytest.mark.full
def test_the_connection_says_how_it_is(server: PostgreSQL, folder: Path) -> None:
    checked = way(url(server, sslmode="verify-full", sslrootcert=str(folder / "ca-cert.pem")))
    assert (checked.encrypted, checked.verified) == (True, True)
    believed = way(url(server, sslmode="require"))
    assert (believed.encrypted, believed.verified) == (True, False)
    clear = way(url(server, sslmode="disable"))
    assert (clear.encrypted, clear.verified, clear.local) == (False, False, True)
    assert clear.problem is None
    assert abs(clear.now_ms - SystemClock().now_ms()) < 60_000


@pytest.mark.full
def test_a_certificate_of_another_authority_is_refused(server: PostgreSQL, folder: Path) -> None:
    other = str(folder / "others" / "ca-cert.pem")
    with pytest.raises(ConfigurationError, match="certificate verify failed"):
        way(url(server, sslmode="verify-full", sslrootcert=other))


def test_doctor_tells_of_the_way() -> None:
    assert list(_of_way(ABROAD, 1_000_000)) == [
        (True, "database: reached with TLS, its certificate is checked")
    ]
    ((ok, told),) = _of_way(replace(ABROAD, encrypted=False, mode="prefer"), 1_000_000)
    assert not ok
    assert "leaves this machine without TLS" in told
    assert "sslmode=verify-full" in told
    ((ok, told),) = _of_way(replace(ABROAD, mode="require"), 1_000_000)
    assert ok
    assert "whoever is on the way could take its place" in told
    (_, (ok, told)) = _of_way(ABROAD, 1_090_000)
    assert not ok
    assert "this host's clock is 90 seconds ahead of the database's" in told
