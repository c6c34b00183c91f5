"""A freeze that fails leaves nothing, and its own reason is what the client hears."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mooring.engine.interface import Freeze
from mooring.jobs.recover import recover
from mooring.model.errors import CatalogError, EngineError, NotFoundException
from mooring.model.errors import OperationFailureException as Failure
from mooring.taking import recording
from tests.service.world import World


def failing(_points: Mapping[str, str]) -> Freeze:
    raise EngineError("the layers do not answer")


def unreachable(*_: object) -> None:
    raise CatalogError("the database is away")


def test_a_freeze_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.disk()
    monkeypatch.setattr(world.engine, "freeze", failing)

    with pytest.raises(Failure, match=r"disk data could not be frozen.*the layers do not answer"):
        world.snapshot("snap")

    with pytest.raises(NotFoundException):
        world.state("snap")
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    assert all(one["isTerminal"] for one in world.operations("data"))


def test_what_hinders_the_taking_back_does_not_hide_why_the_freeze_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.disk()
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "freeze", failing)
        patch.setattr(recording, "take_back", unreachable)
        with pytest.raises(Failure, match="the layers do not answer"):
            world.snapshot("snap")

    # What is left is not frozen, so the next start takes it back.
    recover(world.backend)

    with pytest.raises(NotFoundException):
        world.state("snap")
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
