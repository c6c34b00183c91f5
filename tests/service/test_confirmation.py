"""A snapshot that was taken back meanwhile is not told to be there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mooring.engine.interface import Freeze
from mooring.jobs.recover import recover
from mooring.model.errors import NotFoundException, OperationFailureException
from tests.service.world import World


def test_a_confirmation_that_changes_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.disk()
    freeze = world.engine.freeze

    def freeze_while_another_server_starts(points: Mapping[str, str]) -> Freeze:
        recover(world.tools)
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", freeze_while_another_server_starts)

    with pytest.raises(OperationFailureException, match="snap was taken back"):
        world.snapshot("snap")
    with pytest.raises(NotFoundException):
        world.state("snap")
