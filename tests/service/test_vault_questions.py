"""The questions `diff` and `usage`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.service.context import Context
from mooring.service.own import vault
from mooring.service.own.table import own_handlers
from mooring.vault.format.layout import SEGMENTS
from tests.service.world import REGION, World


@pytest.fixture
def world() -> Iterator[World]:
    """A disk with two snapshots."""
    made = World()
    disk = made.disk()
    made.write(disk, 0, b"a" * 64 * BLOCK_SIZE)
    made.write(disk, 3 * GIB, b"b" * BLOCK_SIZE)
    made.snapshot("first")
    made.settle()
    made.write(disk, 4 * BLOCK_SIZE, b"c" * BLOCK_SIZE)
    made.write(disk, 6 * BLOCK_SIZE, bytes(BLOCK_SIZE))
    made.write(disk, 3 * GIB, b"d" * 2 * BLOCK_SIZE)
    made.snapshot("second")
    made.settle()
    yield made
    made.close()


def ask(world: World, question: str, **params: str) -> dict[str, Any]:
    context = Context(
        region=REGION,
        caller="AKIATEST",
        request_id="request",
        invocation_id=None,
        received_ms=world.clock.now_ms(),
    )
    return own_handlers(world.backend)[question](context, params)


def ranges(answer: dict[str, Any]) -> list[tuple[int, int, bool]]:
    return [(one["offset"], one["length"], one["zero"]) for one in answer["extents"]]


def test_what_changed_between_two_snapshots(world: World) -> None:
    answer = ask(world, "diff", diskSnapshotName="second", fromDiskSnapshotName="first")

    assert ranges(answer) == [
        (4 * BLOCK_SIZE, BLOCK_SIZE, False),
        (6 * BLOCK_SIZE, BLOCK_SIZE, True),
        (3 * GIB, 2 * BLOCK_SIZE, False),
    ]
    assert (answer["from"], answer["to"]) == ("first", "second")
    assert answer["sizeInBytes"] == 8 * GIB
    assert answer["nextOffset"] is None


def test_all_that_a_snapshot_holds(world: World) -> None:
    answer = ask(world, "diff", diskSnapshotName="first")

    assert ranges(answer) == [(0, 64 * BLOCK_SIZE, False), (3 * GIB, BLOCK_SIZE, False)]
    assert answer["from"] is None


@pytest.mark.parametrize("page", [1, 2, 3])
def test_pages_together_are_the_whole(
    world: World, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"diskSnapshotName": "second", "fromDiskSnapshotName": "first"}
    whole = ranges(ask(world, "diff", **names))
    monkeypatch.setattr(vault, "DIFF_PAGE", page)
    found: list[tuple[int, int, bool]] = []
    start: int | None = 0
    while start is not None:
        answer = ask(world, "diff", **names, startOffset=str(start))
        assert len(answer["extents"]) <= page
        found += ranges(answer)
        start = answer["nextOffset"]
    assert found == whole


def test_what_cannot_be_compared(world: World) -> None:
    with pytest.raises(NotFoundException, match="nothing"):
        ask(world, "diff", diskSnapshotName="first", fromDiskSnapshotName="nothing")
    with pytest.raises(InvalidInputException, match="diskSnapshotName is required"):
        ask(world, "diff", fromDiskSnapshotName="first")
    for start in ("-4096", "5", "x"):
        with pytest.raises(InvalidInputException, match="startOffset must be a multiple of 4096"):
            ask(world, "diff", diskSnapshotName="first", startOffset=start)
    world.snapshot("third")
    with pytest.raises(OperationFailureException, match="The state of this snapshot is: pending"):
        ask(world, "diff", diskSnapshotName="third")


def test_what_snapshots_take(world: World) -> None:
    first, second = ask(world, "usage")["snapshots"]

    assert (first["diskSnapshotName"], second["diskSnapshotName"]) == ("first", "second")
    assert first["diskName"] == "data"
    assert first["fullCopyBytes"] == 65 * BLOCK_SIZE
    assert second["fullCopyBytes"] == 65 * BLOCK_SIZE
    assert first["sharedBytes"] > 0
    assert first["aloneBytes"] > 0

    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()
    (second,) = ask(world, "usage")["snapshots"]
    assert second["sharedBytes"] == 0


def test_damage_is_told_with_the_way_out(world: World) -> None:
    store = world.stores[REGION]
    for name in list(store.names(SEGMENTS)):
        data = bytearray(store.get(name))
        data[-40] ^= 1
        store.put(name, data)
    world.vault._workshop.frames._tables.clear()
    world.vault._workshop.frames._pages.clear()

    with pytest.raises(OperationFailureException, match=r"damaged.*`mooringd verify` lists"):
        ask(world, "usage")
    with pytest.raises(OperationFailureException, match="The snapshots cannot be compared:"):
        ask(world, "diff", diskSnapshotName="first")


def test_a_key_that_is_bound_to_tags_sees_its_own(world: World) -> None:
    world.call("TagResource", resourceName="first", tags=[{"key": "team", "value": "a"}])
    world.call("TagResource", resourceName="second", tags=[{"key": "team", "value": "b"}])
    context = Context(
        region=REGION,
        caller="AKIATEST",
        request_id="request",
        invocation_id=None,
        received_ms=world.clock.now_ms(),
        access=Access(role=Role.READ_ONLY, tags={"team": "a"}),
    )
    questions = own_handlers(world.backend)

    (row,) = questions["usage"](context, {})["snapshots"]
    assert row["diskSnapshotName"] == "first"
    with pytest.raises(AccessDeniedException):
        questions["diff"](context, {"diskSnapshotName": "first", "fromDiskSnapshotName": "second"})
