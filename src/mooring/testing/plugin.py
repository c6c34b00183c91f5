"""Fixtures of pytest: a server for each process of tests, emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

# Every run of pytest where this is installed imports it: the rest is imported by who uses it.
if TYPE_CHECKING:
    from mooring.testing.server import MooringServer

NEEDS_BOTO3 = "the fixture `lightsail` needs boto3: pip install boto3"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "mooring_engine",
        "what holds the disks of the fixture `mooring_server`: memory (default) or qemu",
        default="memory",
    )


@pytest.fixture(scope="session")
def mooring_process(pytestconfig: pytest.Config) -> Iterator[MooringServer]:
    """The server of this process of tests; each of pytest-xdist's has its own."""
    from mooring.testing.server import MooringServer

    with MooringServer(pytestconfig.getini("mooring_engine")) as server:
        with pytest.MonkeyPatch.context() as environment:
            # A profile might be named that there is not.
            for name in server.unset:
                environment.delenv(name, raising=False)
            # While the server starts, in a process of its own.
            _boto3_session()
        _ = server.url
        yield server


@pytest.fixture
def mooring_server(
    mooring_process: MooringServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MooringServer]:
    """A server without anything in it, which clients of this process find by its environment."""
    for name in mooring_process.unset:
        monkeypatch.delenv(name, raising=False)
    for name, value in mooring_process.environment.items():
        monkeypatch.setenv(name, value)
    yield mooring_process
    mooring_process.reset()


@pytest.fixture
def lightsail(mooring_server: MooringServer) -> Iterator[Any]:
    """boto3's client for Lightsail, of the server; of another region: `boto3.client`."""
    session = _boto3_session()
    if session is None:
        pytest.fail(NEEDS_BOTO3)
    client = _client(session, mooring_server.url)
    yield client
    client.close()


_sessions: list[Any] = []
"""boto3 reads megabytes of JSON for the first client of a session."""


def _boto3_session() -> Any:
    """The session, which has read what it needs; None without boto3."""
    if not _sessions:
        try:
            import boto3
        except ImportError:
            return None
        session = boto3.session.Session()
        _client(session, "http://127.0.0.1:1").close()
        _sessions.append(session)
    return _sessions[0]


def _client(session: Any, url: str) -> Any:
    from mooring.testing.server import KEY, REGION

    return session.client(
        "lightsail",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
    )
