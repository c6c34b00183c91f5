"""Automatic snapshots whose roots are lost stay known while they would be kept."""

from __future__ import annotations

import pytest

from mooring.jobs.watching.vaults import VaultWatch
from mooring.model.automatic.rhythm import DAY_MS
from mooring.model.errors import RootsMissingError
from mooring.model.resources.snapshot import Lost
from mooring.vault.format.layout import root_name
from tests.service.automatic import TAG, enable, live, world
from tests.service.world import REGION, World

__all__ = ["world"]


def lost(world: World) -> dict[str, Lost | None]:
    """By id, what is thought of each automatic snapshot of the disk."""
    disk = world.disk_id("data")
    with world.catalog.read() as transaction:
        found = transaction.automatic_of(disk)
    return {one.id: one.members[0].lost for one in found}


@pytest.mark.parametrize("by", ["add-on", "rhythms"])
def test_one_whose_root_is_missing_stays_known(world: World, by: str) -> None:
    world.disk()
    if by == "add-on":
        enable(world, "03:00")
    else:
        tag = {"key": TAG, "value": "daily keep 1 week"}
        world.call("TagResource", resourceName="data", tags=[tag])
    live(world, 4 * DAY_MS)
    _, chosen, forever, *_ = lost(world)
    store = world.stores[REGION]
    kept = {one: store.get(root_name(one)) for one in (chosen, forever)}
    for one in kept:
        store.delete(root_name(one))
    watch = VaultWatch(world.backend)
    watch.compare(REGION)
    assert lost(world)[chosen] is Lost.MISSING

    live(world, 2 * DAY_MS)
    assert lost(world)[chosen] is Lost.MISSING
    with pytest.raises(RootsMissingError):
        world.vault.collect(expected=lost(world))
    # It was found, in a copy of the vault for example.
    store.put(root_name(chosen), kept[chosen])
    watch.compare(REGION)
    assert lost(world)[chosen] is None
    assert world.vault.verify([chosen]) == []

    # In the end the other one has its turn, and nobody has to do anything about it.
    live(world, 8 * DAY_MS)
    assert forever not in lost(world)
    assert set(lost(world)) == set(world.vault.snapshot_ids())
