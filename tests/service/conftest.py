"""The world that these tests live in."""

from collections.abc import Iterator

import pytest

from tests.service.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()
