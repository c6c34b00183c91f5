"""Views that are kept: the same for the same value, and never those of before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.service.answers import views
from mooring.service.answers.views import disk_view
from tests.catalog.values import disk
from tests.service.world import World


def test_what_changes_is_shown_at_once(world: World) -> None:
    world.disk()
    tag = [{"key": "team", "value": "storage"}]
    assert world.call("GetDisks")["disks"][0]["tags"] == []

    world.call("TagResource", resourceName="data", tags=tag)
    assert world.call("GetDisks")["disks"][0]["tags"] == tag
    world.call("UntagResource", resourceName="data", tagKeys=["team"])
    assert world.call("GetDisks")["disks"][0]["tags"] == []
    assert world.call("GetDisk", diskName="data")["disk"]["tags"] == []


def test_the_same_value_is_shown_once(world: World) -> None:
    one = disk("one")

    shown = disk_view(world.backend, one)

    assert disk_view(world.backend, one) is shown
    assert disk_view(world.backend, replace(one, size_gb=one.size_gb + 1)) != shown


def test_no_more_are_kept_than_so_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "REMEMBERED_VIEWS", 10)

    for number in range(25):
        made = disk(f"disk-{number}")
        assert disk_view(world.backend, made)["name"] == made.name
        assert len(world.backend.views) <= 10
