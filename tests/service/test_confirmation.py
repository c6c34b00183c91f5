"""A snapshot that was taken back meanwhile is not told to be there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mooring.engine.interface import Freeze
from mooring.jobs.automatic.due import take_due
from mooring.jobs.recover import recover
from mooring.model.errors import NotFoundException, OperationFailureException
from mooring.taking import recording
from tests.service.world import World


def test_a_confirmation_that_changes_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.disk()
    freeze = world.engine.freeze

    def freeze_while_another_server_starts(points: Mapping[str, str]) -> Freeze:
        recover(world.backend)
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", freeze_while_another_server_starts)

    with pytest.raises(OperationFailureException, match="snap was taken back"):
        world.snapshot("snap")
    with pytest.raises(NotFoundException):
        world.state("snap")


def test_an_automatic_snapshot_that_was_taken_back_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    disk_id = world.disk(tags=[{"key": "mooring:snapshots", "value": "hourly keep 1 day"}])
    freeze = world.engine.freeze

    def freeze_while_another_server_starts(points: Mapping[str, str]) -> Freeze:
        with world.catalog.write() as transaction:
            for one in transaction.automatic_of(disk_id):
                recording.take_back(transaction, one)
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", freeze_while_another_server_starts)
    world.clock.advance(3601)

    assert take_due(world.backend) == 1
    world.settle()

    with world.catalog.read() as transaction:
        assert transaction.automatic_of(disk_id) == []
        assert transaction.jobs.all() == []
