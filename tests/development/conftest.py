"""One server for development for a whole module, empty for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from mooring.testing.server import MooringServer

MakeClient = Callable[..., Any]


@pytest.fixture(scope="module")
def running() -> Iterator[MooringServer]:
    with MooringServer() as server:
        yield server


@pytest.fixture
def server(running: MooringServer) -> MooringServer:
    """The module's server, with nothing in it."""
    running.reset()
    return running


@pytest.fixture
def client(server: MooringServer) -> Iterator[MakeClient]:
    """Makes clients: `client(region, key, tries)`."""
    made = []

    def make(region: str = "us-east-1", key: str = "test", tries: int = 1) -> Any:
        made.append(
            boto3.session.Session().client(
                "lightsail",
                endpoint_url=server.url,
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key=f"secret of {key}",
                config=Config(retries={"total_max_attempts": tries, "mode": "standard"}),
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()
