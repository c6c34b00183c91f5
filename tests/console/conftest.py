"""The console that these tests visit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()
