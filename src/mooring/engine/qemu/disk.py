"""What the engine knows of one disk while it runs."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from mooring.engine.lineage import BASE, GROWN, next_merge
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.layers import DiskLayers, Layer


@dataclass(frozen=True, slots=True)
class LayerMerge:
    """A merge in terms of layers; `upper` is the one right above, `newest` the topmost."""

    bottom: Layer
    top: Layer
    upper: Layer
    newest: Layer


@dataclass(eq=False)
class RunningMerge:
    """A merge job in a daemon; `offline` if that daemon was started for it alone."""

    daemon: Daemon
    offline: bool


@dataclass(eq=False)
class LiveDisk:
    """One disk. `lock` is held to change its layers or anything here, never for long."""

    layers: DiskLayers
    lock: threading.RLock = field(default_factory=threading.RLock)
    instance_id: str | None = None
    released: dict[str, bool] = field(default_factory=dict)
    """Released points, and whether they are stored."""
    pinned: Counter[str] = field(default_factory=Counter)
    """How many readers have a point open."""
    failed: set[str] = field(default_factory=set)
    """Points of failed freezes whose overlays could not be taken away again."""
    in_doubt: bool = False
    """Whether files and daemon may differ after a failure."""
    unswept: bool = False
    """Whether the daemon was taken over and may hold layers that are merged already."""
    switch_due: bool = False
    """Whether a daemon may still read a base from its source that is filled now."""
    filled: int = 0
    """Up to where the base is filled, while it is being filled by this server."""
    merge: RunningMerge | None = None
    merge_problem: str = ""

    def due_merge(self) -> LayerMerge | None:
        """The merge to do next; forgets released points that are gone."""
        base, *overlays = self.layers.check()
        points = [layer.point for layer in overlays]
        self.released = {p: stored for p, stored in self.released.items() if p in points}
        self.failed.intersection_update(points)
        highest = self.layers.fixed()
        ready = base.source is None and not self.switch_due and highest < 0
        fixed = sum(layer.number <= highest for layer in overlays)
        released = self.released | {GROWN: False}
        pairs = enumerate(pairwise(overlays), start=1)
        stuck = {place for place, (lower, upper) in pairs if not _can_hold(lower, upper)}
        due = next_merge(points, released, +self.pinned, base_ready=ready, fixed=fixed, stuck=stuck)
        if due is None:
            return None
        bottom = base if due.bottom == BASE else overlays[due.bottom]
        first, top = due.bottom + 1, due.top
        # Layers of one size at a time: QEMU would copy what lies past a shorter one's end as zeros.
        while overlays[top].size > overlays[first].size:
            top -= 1
        return LayerMerge(bottom, overlays[top], overlays[top + 1], overlays[-1])


def _can_hold(lower: Layer, upper: Layer) -> bool:
    """Whether an overlay can take in the one above, which may be larger.

    One that does not say how large the layer below is must keep its size, which says it.
    """
    return lower.size == upper.size or lower.below is not None
