"""The server and the clients that these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.boto import Boto
from tests.clients.site import Site
from tests.conftest import find_tool


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    find_tool("aws")
    site = Site(tmp_path_factory.mktemp("clients"))
    yield site
    site.close()


@pytest.fixture
def boto(site: Site) -> Boto:
    return site.boto
