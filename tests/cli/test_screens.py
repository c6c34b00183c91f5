"""Screens for people fit their terminals, and say what counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.cli.output.columns import columns_of, cut, lines, short_date, size, span
from mooring.cli.own.screens.lists import SHOWN
from mooring.cli.own.screens.status import screen
from mooring.jobs.automatic.due import take_due
from mooring.service.overview.overview import overview
from tests.service.world import World

LONG = "a-disk-with-a-name-that-is-rather-long-for-a-column-of-a-screen-and-longer-still"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def filled(world: World) -> None:
    """Disks with long and short names, automatic snapshots, one that is late, and a failure."""
    rhythm = [{"key": "mooring:snapshots", "value": "every 15 minutes keep 1 day"}]
    for name in ("db", "web-1", LONG):
        world.disk(name, tags=rhythm)
    world.instance()
    world.attach("db")
    world.clock.advance(900)
    take_due(world.backend, None)
    world.settle()
    world.snapshot("broken", "db")
    with world.catalog.write() as transaction:
        job = transaction.jobs.all()[0]
        transaction.operations.finish(job.id, world.clock.now_ms(), "Engine", "it is broken")
    world.clock.advance(7200)


@pytest.mark.parametrize("columns", [80, 200])
def test_the_screen_fits_and_tells_all(world: World, columns: int) -> None:
    filled(world)
    shown = list(screen(overview(world.backend), columns))
    text = "\n".join(shown)

    assert max(map(columns_of, shown)) <= columns
    assert len(shown) <= 24
    for word in ("us-east-2", "us-west-2", "db", "web-1", "LATE", "every 15 minutes", "broken"):
        assert word in text
    assert (LONG in text) is (columns == 200)


def test_names_are_whole_where_only_reasons_are_long(world: World) -> None:
    told = overview(world.backend)
    told["regions"][0]["vaultProblem"] = "the vault is away, for a reason that is long " * 3
    told["troubles"] = {
        "count": 12,
        "critical": True,
        "shown": [
            {"severity": "critical", "text": f"{number}\nis wrong\x1b[31m", "since": told["at"]}
            for number in range(10)
        ],
    }
    shown = list(screen(told, 80))

    assert max(map(columns_of, shown)) <= 80
    assert any(line.startswith("us-east-2 ") and "AWAY: the vault" in line for line in shown)
    assert shown[2].startswith("!! 0 is wrong")
    assert "   and 4 more" in shown


@pytest.mark.parametrize("kind", SHOWN)
def test_a_list_has_one_line_each_and_fits(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(world)
    monkeypatch.setenv("COLUMNS", "80")
    found: list[Any] = list(world.act(f"list-{kind}")[kind])
    shown = SHOWN[kind](found, world.clock.now_ms() / 1000)

    assert len(shown) == len(found) + 2
    assert max(map(columns_of, shown)) <= 80


def test_the_moment_of_an_automatic_snapshot_is_not_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(world)
    monkeypatch.setenv("COLUMNS", "80")
    found = [one for one in world.act("list-snapshots")["snapshots"] if one["of"] == "db"]
    shown = SHOWN["snapshots"](found, world.clock.now_ms() / 1000)

    for one in found:
        assert any(line.startswith(f"{one['name']} ") for line in shown)


def test_what_is_piped_elsewhere_is_not_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(world)
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = SHOWN["disks"](world.act("list-disks")["disks"], world.clock.now_ms() / 1000)

    assert any(line.startswith(LONG) for line in shown)


def test_columns_give_way_in_the_order_that_they_are_told() -> None:
    rows = [("name" * 5, "x", "state" * 4), ("y", "x", "z")]
    shown = lines(("NAME", "N", "STATE"), rows, 36, right=" r", wide=(2, 0))

    assert shown[1].split() == ["name" * 5, "x", "statestate…"]
    assert all(columns_of(one) <= 36 for one in shown)
    assert cut("日本語", 5) == "日本…"


def test_sizes_and_times_are_short() -> None:
    sizes = [0, 999, 1023, 1 << 20, 1023 << 20, 5 << 40, None]
    assert [size(one) for one in sizes] == [
        "0 B",
        "999 B",
        "1.0 KiB",
        "1.0 MiB",
        "1.0 GiB",
        "5.0 TiB",
        "-",
    ]
    assert [span(one) for one in (0, 119, 120, 7199, 7200, 172_800)] == [
        "0 s",
        "119 s",
        "2 min",
        "120 min",
        "2 h",
        "2 d",
    ]
    year = 365 * 86_400
    assert len(short_date(1_795_811_583, 1_795_811_600)) == len("11-27 20:33")
    assert short_date(1_795_811_583 - 2 * year, 1_795_811_583).startswith("2024-")
