"""How the database is reached: with TLS, without, from this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mooring.admin.health.servers import _of_way
from mooring.catalog.connections import VANISHED_SECONDS
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


@pytest.mark.full
def test_both_sides_notice_when_a_machine_is_gone(server: PostgreSQL) -> None:
    """In half a minute; a URL may say otherwise of this side."""
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    for given, idle in (({}, 10), ({"keepalives_idle": "3"}, 3)):
        catalog = Catalog(url(server, sslmode="disable", **given))
        with catalog._engine.connect() as connection:
            there = [connection.execute(text(f"SHOW {name}")).scalar() for name in names]
            driver: Any = connection.connection.dbapi_connection
            with socket.socket(fileno=os.dup(driver.fileno())) as ours:
                here = [ours.getsockopt(socket.IPPROTO_TCP, one) for one in options]
                waits = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        catalog.close()
        assert there == ["10", "5", "4"]
        assert here == [idle, 5, 4]
        assert waits == 1000 * VANISHED_SECONDS == 1000 * (10 + 5 * 4)


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
