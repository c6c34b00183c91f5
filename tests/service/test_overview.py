"""The overview, and the short lists, say what there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.host.rooms import Rooms
from mooring.jobs.automatic.due import take_due
from mooring.model.access import Access, Role
from mooring.model.errors import AccessDeniedException, InvalidInputException
from mooring.service.answers import pages
from tests.service.world import REGION, World

RHYTHM = [{"key": "mooring:snapshots", "value": "every 10 minutes keep 1 day"}]


def automatic(world: World) -> None:
    """Take what is due now, and store it."""
    world.clock.advance(600)
    take_due(world.backend, None)
    world.settle()


def listed(world: World, request: str, member: str, **given: Any) -> list[Mapping[str, Any]]:
    """All pages of a list."""
    found: list[Mapping[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = world.act(request, **given, **token)
        found += page[member]
        if page["nextPageToken"] is None:
            return found
        token = {"pageToken": page["nextPageToken"]}


def test_the_overview_counts_what_each_region_has(world: World) -> None:
    world.disk("data", 8)
    world.disk("more", 16)
    world.instance()
    world.snapshot("first")
    before = world.act("status")["regions"]
    world.settle()
    regions = {one["name"]: one for one in world.act("status")["regions"]}

    assert before[0]["pendingSnapshots"] == 1
    assert before[0]["oldestPendingAt"] == world.backend.clock.now_ms() / 1000
    here = regions[REGION]
    assert (here["disks"], here["disksGb"], here["instances"]) == (2, 24, 1)
    assert (here["snapshots"], here["pendingSnapshots"]) == (1, 0)
    assert here["vaultProblem"] is None
    assert regions["us-west-2"]["disks"] == 0


def test_late_snapshots_come_first(world: World) -> None:
    for name in ("early", "late", "never"):
        world.disk(name, tags=RHYTHM)
    world.disk("unwanted")
    automatic(world)
    fresh = world.act("status")["automatic"]
    world.clock.advance(7200)
    late = world.act("status")["automatic"]

    assert (fresh["wanted"], fresh["late"]) == (3, 0)
    assert {one["name"] for one in fresh["shown"]} == {"early", "late", "never"}
    assert all(one["ok"] and one["wanted"] == "every 10 minutes" for one in fresh["shown"])
    assert late["late"] == 3
    assert not late["shown"][0]["ok"]


def test_what_failed_is_told_for_a_day(world: World) -> None:
    world.disk("data")
    world.snapshot("broken")
    with world.catalog.write() as transaction:
        job = transaction.jobs.all()[0]
        transaction.operations.finish(job.id, world.clock.now_ms(), "Engine", "it is broken")
    failed = world.act("status")["failed"]
    world.clock.advance(24 * 3600 + 1)

    assert [(one["resource"], one["code"], one["problem"]) for one in failed] == [
        ("data", "Engine", "it is broken"),
        ("broken", "Engine", "it is broken"),
    ]
    assert world.act("status")["failed"] == []


def test_who_is_bound_to_tags_has_no_overview_and_a_list_of_its_own(world: World) -> None:
    mine = [{"key": "team", "value": "red"}]
    world.disk("mine", tags=[*mine, *RHYTHM])
    world.disk("theirs", tags=RHYTHM)
    automatic(world)
    world.snapshot("of-mine", "mine", tags=mine)
    world.snapshot("of-theirs", "theirs")
    world.settle()
    red = Access("red", Role.OPERATOR, {"team": "red"})

    with pytest.raises(AccessDeniedException, match="shared by the whole region"):
        world.act("status", access=red)
    assert [one["name"] for one in listed(world, "list-disks", "disks", access=red)] == ["mine"]
    snapshots = listed(world, "list-snapshots", "snapshots", access=red)
    assert [one["of"] for one in snapshots] == ["mine", "mine"]
    assert len(listed(world, "list-snapshots", "snapshots")) == 4


def test_disks_tell_what_they_take_and_their_newest_snapshot(world: World) -> None:
    disk = world.disk("data", tags=RHYTHM)
    world.instance()
    world.attach()
    world.engine.write(disk, 0, b"x" * 8192)
    automatic(world)
    taken = world.clock.now_ms() / 1000
    world.settle()

    (one,) = listed(world, "list-disks", "disks")
    assert one["takenBytes"] == 8192
    assert (one["state"], one["attachedTo"]) == ("in-use", "web")
    assert taken - 60 <= one["newestSnapshotAt"] <= taken
    assert [each["wanted"] for each in one["automatic"]] == ["every 10 minutes"]
    (instance,) = listed(world, "list-instances", "instances")
    assert (instance["disks"], instance["disksGb"], instance["state"]) == (1, 8, "running")


def test_snapshots_of_disks_and_instances_are_listed_automatic_ones_among_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.service.overview.lists.PAGE", 2)
    world.disk("data", tags=RHYTHM)
    world.disk("other")
    world.instance()
    world.attach()
    for name in ("first", "second", "third"):
        world.snapshot(name)
        world.settle()
        world.clock.advance(1)
    world.snapshot("elsewhere", "other")
    world.instance_snapshot("whole")
    world.settle()
    automatic(world)
    found = listed(world, "list-snapshots", "snapshots")

    names = [one["name"] for one in found]
    assert names[0].startswith("data@")
    assert names[1:] == ["elsewhere", "third", "second", "first", "whole"]
    assert [one["automatic"] for one in found] == [True, *[False] * 5]
    assert found[-1]["kind"] == "instance"
    of_disk = listed(world, "list-snapshots", "snapshots", diskName="data")
    assert len(of_disk) == 5
    assert {one["of"] for one in of_disk} == {"data"}
    with pytest.raises(InvalidInputException, match="page token is invalid"):
        world.act("list-snapshots", pageToken=pages.token("nothing 1"))


def test_what_is_told_of_each_disk_and_snapshot_comes_in_pages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.service.own.disks.PAGE", 2)
    monkeypatch.setattr("mooring.service.own.vault.USAGE_PAGE", 2)
    names = [f"data-{number}" for number in range(5)]
    for name in names:
        world.disk(name)
        world.snapshot(f"of-{name}", name)
        world.settle()

    assert [one["diskName"] for one in listed(world, "disks", "disks")] == names
    usage = listed(world, "usage", "snapshots")
    assert sorted(one["diskName"] for one in usage) == names
    assert len(world.act("usage")["snapshots"]) == 2


def test_snapshots_of_a_disk_that_is_gone_are_listed_by_its_name(world: World) -> None:
    world.disk("data")
    world.snapshot("kept")
    world.settle()
    world.call("DeleteDisk", diskName="data")
    world.settle()

    found = listed(world, "list-snapshots", "snapshots", diskName="data")
    assert [one["name"] for one in found] == ["kept"]


def test_room_is_told_once_for_a_file_system_with_the_same_forecast(tmp_path: Path) -> None:
    rooms = Rooms({"disks": tmp_path, "vault of us-east-2": tmp_path}, 0)
    world = World(rooms=rooms)
    now, half_an_hour = world.clock.now_ms(), 1_800_000
    for number in range(24):
        with world.catalog.write() as transaction:
            free = (1 << 40) - number * (1 << 30)
            at = now - (24 - number) * half_an_hour
            transaction.room_samples.add(world.backend.this_server.id, {"disks": free}, at)
    told = world.act("status")["room"]
    (found,) = world.act("space")["rooms"]

    assert found["uses"] == ["disks", "vault of us-east-2"]
    seconds = [one["secondsUntilFull"] for one in told if one["secondsUntilFull"] is not None]
    assert seconds == pytest.approx([found["secondsUntilFull"]], rel=0.05)
    assert world.act("overview")["rooms"][0]["uses"] == found["uses"]
    reader = Access("reader", Role.READ_ONLY)
    assert world.act("space", access=reader)["rooms"] == []
    world.close()
