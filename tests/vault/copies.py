"""Vaults to be copied, with a few snapshots."""

from __future__ import annotations

import random

import pytest

from mooring.model.clock import ManualClock
from mooring.vault.store.interface import Store
from mooring.vault.vault import Vault
from tests.vault.conftest import SMALL
from tests.vault.disks import Disk, content, info


def opened(store: Store, clock: ManualClock, secret: bytes | None = None) -> Vault:
    return Vault.create_or_open(store, clock, SMALL, secret=secret)


def fill(vault: Vault, disks: dict[str, Disk], name: str, parent: str | None, seed: int) -> None:
    rng = random.Random(seed)
    disk = disks[parent].copy() if parent else Disk()
    with vault.begin(info(name), parent) as writer:
        disk.write(writer, rng.randrange(300), content(rng, 40 if parent else 700))
        writer.commit()
    disks[name] = disk


@pytest.fixture
def disks(vault: Vault) -> dict[str, Disk]:
    made: dict[str, Disk] = {}
    fill(vault, made, "a", None, 1)
    fill(vault, made, "b", "a", 2)
    fill(vault, made, "c", "b", 3)
    return made
