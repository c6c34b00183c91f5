"""Random operations by several callers do what the model of the real service's rules says."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.catalog.postgresql import PostgreSQL
from tests.service.machine import REACHED
from tests.service.machine_forks import Forks
from tests.service.machine_model import DENIED, INVALID, NOT_FOUND, TAKEN, WRONG_STATE
from tests.service.three_servers import ThreeServers
from tests.service.world import World

ROUNDS = 8
"""Of 40 examples each, usually three are enough."""


def run(examples: int, machine: type[Forks] = Forks, chance: int = 0) -> None:
    run_state_machine_as_test(
        seed(chance)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            database=None,
            # What is drawn follows what is there, and how long that takes follows the machine.
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_resources_follow_the_rules() -> None:
    run(12)


class ForksAtThreeServers(Forks):
    """The same asked of three servers in turn, which run the jobs together."""

    database: ClassVar[PostgreSQL]

    def make_world(self) -> World:
        return ThreeServers(self.database.url())


@pytest.mark.full
@pytest.mark.timeout(900)
def test_resources_follow_the_rules_at_three_servers(postgresql: PostgreSQL) -> None:
    ForksAtThreeServers.database = postgresql
    run(3, ForksAtThreeServers)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_every_outcome_is_met() -> None:
    """It is no proof if hardly anything happens."""
    for chance in range(1, ROUNDS + 1):
        run(40, chance=chance)
        if not missing():
            return
    assert not missing()


def missing() -> list[tuple[str, object]]:
    """What has not been met, although it can be."""
    return [
        (operation, outcome)
        for operation, outcomes in {
            "CreateDisk": [None, TAKEN, DENIED],
            "DeleteDisk": [None, NOT_FOUND, WRONG_STATE, DENIED],
            "CreateDiskFromSnapshot": [None, NOT_FOUND, TAKEN, DENIED],
            "CreateInstances": [None, TAKEN, DENIED],
            "DeleteInstance": [None, NOT_FOUND, WRONG_STATE, DENIED],
            "StartInstance": [None, NOT_FOUND, WRONG_STATE, DENIED],
            "StopInstance": [None, NOT_FOUND, WRONG_STATE, DENIED],
            "AttachDisk": [None, NOT_FOUND, WRONG_STATE, DENIED],
            "DetachDisk": [None, NOT_FOUND, WRONG_STATE, DENIED],
            "CreateDiskSnapshot": [None, NOT_FOUND, WRONG_STATE, TAKEN, DENIED],
            "DeleteDiskSnapshot": [None, NOT_FOUND, DENIED],
            "CreateInstanceSnapshot": [None, NOT_FOUND, WRONG_STATE, TAKEN, INVALID, DENIED],
            "DeleteInstanceSnapshot": [None, NOT_FOUND, DENIED],
            "CreateInstancesFromSnapshot": [None, NOT_FOUND, TAKEN, INVALID, DENIED],
            "CopySnapshot": [None, NOT_FOUND, WRONG_STATE, TAKEN, INVALID, DENIED],
            "EnableAddOn": [None, NOT_FOUND, INVALID, DENIED],
            "DisableAddOn": [None, NOT_FOUND, INVALID, DENIED],
            "DeleteAutoSnapshot": [None, NOT_FOUND, WRONG_STATE, INVALID, DENIED],
            "TagResource": [None, NOT_FOUND, DENIED],
            "UntagResource": [None, NOT_FOUND, DENIED],
            "grow": [None, NOT_FOUND, WRONG_STATE, INVALID, DENIED],
            "fork": [None, NOT_FOUND, TAKEN, INVALID, DENIED],
            "fork-instance": [None, NOT_FOUND, WRONG_STATE, TAKEN, INVALID, DENIED],
            "revert": [None, NOT_FOUND, TAKEN, INVALID, DENIED],
        }.items()
        for outcome in outcomes
        if not REACHED[operation, outcome]
    ]
