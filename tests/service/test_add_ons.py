"""The add-on of a disk: enabled, changed, disabled and shown, and what a deletion wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.model.automatic.rhythm import DAY_MS
from mooring.model.errors import InvalidInputException
from tests.service.automatic import add_on, dates, enable, live, world
from tests.service.test_copies import FAR
from tests.service.world import ZONE, World

__all__ = ["world"]


def disable(world: World, name: str = "data") -> Mapping[str, Any]:
    return world.call("DisableAddOn", resourceName=name, addOnType="AutoSnapshot")


def present(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view without what is left out of the answer."""
    return {name: value for name, value in view.items() if value is not None}


def shown(world: World, name: str = "data") -> Any:
    return world.call("GetDisk", diskName=name)["disk"]["addOns"]


def test_enable_change_and_disable(world: World) -> None:
    world.disk()
    assert shown(world) == []

    (operation,) = enable(world, "06:00")["operations"]

    assert (operation["resourceType"], operation["resourceName"]) == ("Disk", "data")
    assert operation["location"]["availabilityZone"] == ZONE
    assert (operation["operationType"], operation["isTerminal"]) == ("EnableAddOn", True)
    assert shown(world) == [
        {
            "name": "AutoSnapshot",
            "status": "Enabled",
            "snapshotTimeOfDay": "06:00",
            "nextSnapshotTimeOfDay": "06:00",
        }
    ]
    with pytest.raises(InvalidInputException) as caught:
        enable(world, "06:00")
    assert caught.value.message == "The addOn is already in requested state"
    enable(world, "07:00")
    assert shown(world)[0]["snapshotTimeOfDay"] == "07:00"
    (operation,) = disable(world)["operations"]
    assert operation["operationType"] == "DisableAddOn"
    disabled = {"name": "AutoSnapshot", "status": "Disabled", "snapshotTimeOfDay": "07:00"}
    assert [present(one) for one in shown(world)] == [disabled]
    with pytest.raises(InvalidInputException) as caught:
        world.call("DisableAddOn", resourceName="data", addOnType="AutoSnapshot")
    assert caught.value.message == "AutoSnapshot not enabled for the resource"
    # What is disabled has nothing that a deletion would have to insist on, and can come back.
    enable(world, "07:00")
    assert (shown(world)[0]["status"], shown(world)[0]["nextSnapshotTimeOfDay"]) == (
        "Enabled",
        "07:00",
    )
    disable(world)
    enable(world, "08:00")
    assert shown(world)[0]["snapshotTimeOfDay"] == "08:00"
    disable(world)
    world.call("DeleteDisk", diskName="data")
    world.settle()
    world.disk()
    assert shown(world) == []


def test_nothing_is_taken_or_deleted_of_a_disabled_one(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, 2 * DAY_MS)
    before = dates(world)
    assert len(before) == 2
    disable(world)

    live(world, 9 * DAY_MS)

    assert dates(world) == before
    with world.catalog.read() as transaction:
        assert transaction.auto_failures.health() == []
    enable(world, "05:00")
    live(world, DAY_MS)
    assert len(dates(world)) == 3


@pytest.mark.parametrize("time", ["6:00", "06:30", "24:00", "06:00:00", "", "xx:00", "06:00\n"])
def test_times_that_are_not_full_hours(world: World, time: str) -> None:
    world.disk()
    with pytest.raises(InvalidInputException, match="full hour"):
        enable(world, time)
    with pytest.raises(InvalidInputException, match="full hour"):
        world.disk("other", addOns=[add_on(time)])
    assert world.call("GetActiveNames")["activeNames"] == ["data"]


def test_each_region_has_its_own_time(world: World) -> None:
    world.disk(addOns=[add_on()])
    far: dict[str, Any] = {"availabilityZone": "us-west-2a", "sizeInGb": 8}
    world.call("CreateDisk", region=FAR, diskName="far", addOns=[add_on()], **far)

    assert shown(world)[0]["snapshotTimeOfDay"] == "03:00"
    disk = world.call("GetDisk", region=FAR, diskName="far")["disk"]
    assert disk["addOns"][0]["snapshotTimeOfDay"] == "06:00"
