"""What a key may not do is neither offered, nor done when asked by hand."""

from __future__ import annotations

import pytest

from tests.console.site import Site

HOME = "/console/us-east-2/"
OTHERS = "payroll"


@pytest.fixture
def filled(site: Site) -> Site:
    site.world.call(
        "CreateDisk",
        diskName="shop",
        availabilityZone="us-east-2a",
        sizeInGb=8,
        tags=[{"key": "team", "value": "db"}],
    )
    site.world.disk(OTHERS)
    site.world.settle()
    return site


def test_who_is_bound_to_tags_sees_only_those(filled: Site) -> None:
    team = filled.visitor("team")
    for page in ("", "disks"):
        text = team.see(HOME + page)
        assert OTHERS not in text
    assert "shop" in team.see(f"{HOME}disks")
    assert "1 disk" in team.see(HOME) or "of 1" in team.see(HOME)

    assert team.get(f"{HOME}disk?name={OTHERS}").status == 403
    team.get(f"{HOME}disk?name=shop")
    assert team.post(f"{HOME}disk/snapshot", name=OTHERS, snapshot="x").status == 403
    assert team.post(f"{HOME}disk/rhythms", name=OTHERS, rhythms="daily keep 1 week").status == 403


def test_a_reader_is_offered_no_change_and_cannot_make_one(filled: Site) -> None:
    reader = filled.visitor("reader")
    text = reader.see(f"{HOME}disk?name=shop")
    assert "Take a snapshot" not in text
    assert "See what would be kept" not in text
    for action in ("disk/snapshot", "disk/rhythms"):
        form = {"name": "shop", "snapshot": "x", "rhythms": "daily keep 1 week"}
        assert reader.post(HOME + action, None, **form).status == 403
    assert filled.world.call("GetDiskSnapshots")["diskSnapshots"] == []


def test_only_administrators_see_the_servers_file_systems(filled: Site) -> None:
    for name in ("operator", "reader", "team"):
        assert filled.visitor(name).get(HOME).status == 200
        assert "Room" not in filled.visitor(name).see(HOME).split("Failed lately")[1]


def test_what_is_changed_is_in_the_audit_log(filled: Site) -> None:
    operator = filled.visitor("operator")
    operator.get(f"{HOME}disk?name=shop")
    operator.post(f"{HOME}disk/snapshot", name="shop", snapshot="first")
    lines = filled.audit.read_text().splitlines()

    assert '"operation":"CreateDiskSnapshot","resources":["shop","first"]' in lines[-1]
    assert '"user":"operator"' in lines[-1]
