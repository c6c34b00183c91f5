"""The accounting says what deleting a snapshot frees."""

from __future__ import annotations

import random

from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES
from mooring.vault.vault import Vault
from tests.vault.disks import store

MAP_BYTES = 4096
"""More than pages and directories take in these snapshots."""


def noise(seed: int, blocks: int) -> bytes:
    return random.Random(seed).randbytes(blocks * BLOCK_SIZE)


def test_what_is_alone_and_what_is_shared(vault: Vault) -> None:
    store(vault, "a", {0: noise(1, 4 * FRAME_BLOCKS)})
    store(vault, "b", {FRAME_BLOCKS: noise(2, FRAME_BLOCKS)}, "a")
    store(vault, "c", {0: noise(3, 10)})

    usage = {one.snapshot_id: one for one in vault.usage()}
    for name, alone, shared in (
        ("a", FRAME_BYTES, 3 * FRAME_BYTES),
        ("b", FRAME_BYTES, 3 * FRAME_BYTES),
        ("c", 10 * BLOCK_SIZE, 0),
    ):
        assert alone < usage[name].unique_bytes < alone + MAP_BYTES
        assert shared <= usage[name].shared_bytes < shared + MAP_BYTES

    vault.delete("a")
    usage = {one.snapshot_id: one for one in vault.usage()}
    assert set(usage) == {"b", "c"}
    assert usage["b"].shared_bytes == 0
    assert 4 * FRAME_BYTES < usage["b"].unique_bytes < 4 * FRAME_BYTES + MAP_BYTES


def test_an_empty_vault(vault: Vault) -> None:
    assert vault.usage() == []
    assert vault.verify() == []
    assert vault.collect().segments_kept == 0
