"""Finds out what space each snapshot takes alone and what it shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.blocks import Array
from mooring.vault.format.root import Root
from mooring.vault.reading.workshop import Workshop

_NOBODY, _MANY = -1, -2


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The stored bytes that a snapshot names, data and map.

    `unique_bytes` is what no other snapshot names: what deleting this one would free.
    `logical_bytes` is what of the disk is not zeros: what a full copy would take.
    """

    snapshot_id: str
    unique_bytes: int
    shared_bytes: int
    logical_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a vault holds, in bytes: in the store, needed by snapshots, and what full copies of all
    snapshots would take."""

    snapshots: int
    stored_bytes: int
    live_bytes: int
    logical_bytes: int

    @property
    def dead_bytes(self) -> int:
        """What is stored and not needed: to be given back with more, or being written."""
        return max(0, self.stored_bytes - self.live_bytes)


class UsageReport:
    """Notes for each frame whose it is, snapshot after snapshot."""

    def __init__(self, workshop: Workshop) -> None:
        self._frames = workshop.frames
        self._walk = workshop.walk
        self._owners: dict[bytes, Array] = {}

    def run(self, roots: Sequence[Root]) -> list[Usage]:
        """Raises DamageError."""
        totals = [self._enter(number, root) for number, root in enumerate(self._walk.ahead(roots))]
        unique = self._unique(len(roots))
        return [
            Usage(
                snapshot_id=root.id,
                unique_bytes=alone,
                shared_bytes=total - alone,
                logical_bytes=self._walk.used_blocks(root) * BLOCK_SIZE,
            )
            for root, total, alone in zip(roots, totals, unique, strict=True)
        ]

    def _enter(self, number: int, root: Root) -> int:
        """Note what a snapshot names; return the bytes of it."""
        total = 0
        for segment, frames in self._walk.segments_in(self._walk.frames_of(root)):
            sizes = self._frames.table(segment).stored_bytes
            owners = self._owners.get(segment)
            if owners is None:
                owners = self._owners[segment] = np.full(len(sizes), _NOBODY, np.int32)
            owners[frames] = np.where(owners[frames] == _NOBODY, number, _MANY)
            total += int(sizes[frames].sum())
        return total

    def _unique(self, count: int) -> list[int]:
        result = np.zeros(count, np.int64)
        for segment, owners in self._owners.items():
            sizes = self._frames.table(segment).stored_bytes
            alone = owners >= 0
            np.add.at(result, owners[alone], sizes[alone])
        return [int(one) for one in result]
