"""What the engine knows of one disk while it runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mooring.engine.lineage import BASE, GROWN, next_merge
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.layers.layer import Layer, points
from mooring.engine.qemu.layers.past import PastLayers
from mooring.model.errors import PointNotFoundError


@dataclass(frozen=True, slots=True)
class LayerMerge:
    """A merge in terms of layers; `upper` is the one right above, `newest` the topmost."""

    bottom: Layer
    merged: Sequence[Layer]
    """The layers that go into the bottom, lowest first."""
    upper: Layer
    newest: Layer

    @property
    def top(self) -> Layer:
        """The highest layer that goes into the bottom."""
        return self.merged[-1]

    @property
    def grows(self) -> bool:
        """Whether it makes the bottom larger."""
        return self.top.size > self.bottom.size


@dataclass(eq=False)
class RunningMerge:
    """A merge job in a daemon; `offline` if that daemon was started for it alone."""

    daemon: Daemon
    offline: bool


@dataclass(eq=False)
class CopyingMerge:
    """A merge into the base that a thread of this server does itself.

    `stopped` is set to end it early; once it has `ended`, it writes nothing any more.
    """

    due: LayerMerge
    stopped: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class LiveDisk:
    """One disk. `lock` is held to change its layers or anything here, never for long."""

    layers: DiskLayers
    past: list[PastLayers] = field(default_factory=list)
    """What the disk held before reverts and snapshots may still need, oldest first."""
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
    copying: CopyingMerge | None = None
    merge_problem: str = ""
    merge_failures: int = 0
    """How often in a row merging has failed."""
    merge_again: float = 0.0
    """When, of the monotonic clock, the next merge may begin after a failure."""

    @property
    def is_idle(self) -> bool:
        """Whether this host does nothing with the disk."""
        return self.instance_id is None and self.merge is None and self.copying is None

    def begin_again(self, layers: DiskLayers, past: list[PastLayers]) -> None:
        """Forget what was known of other layers than these. The caller holds the lock."""
        self.layers, self.past = layers, past
        self.released, self.failed = {}, set()
        self.in_doubt = self.unswept = self.switch_due = False
        self.filled = 0
        self.forget_merge_failures()

    def forget_merge_failures(self) -> None:
        """Merge again as if it had always worked."""
        self.merge_problem, self.merge_failures, self.merge_again = "", 0, 0.0

    def points(self) -> list[str]:
        """The frozen points of the disk, oldest first. The caller holds the lock."""
        times = [*(past.layers for past in self.past), self.layers]
        return list(dict.fromkeys(one for of in times for one in points(of.overlays())))

    def release(self, point: str, *, stored: bool) -> bool:
        """Let the layers below a frozen point be merged; whether that may have become due.

        The caller holds the lock.
        """
        if point in points(self.layers.overlays()):
            self.released[point] = stored or self.released.get(point, False)
        elif not self.past:
            return False
        for past in self.past:
            past.released.add(point)
        return True

    def below(self, point: str) -> list[Layer]:
        """The layers that hold what the disk held at a frozen point, lowest first.

        Raises PointNotFoundError, LayerDamagedError.
        """
        for layers in (self.layers, *(past.layers for past in reversed(self.past))):
            if layers is not self.layers and point not in points(layers.overlays()[1:]):
                continue
            chain = layers.check()
            places = [place for place, layer in enumerate(chain) if layer.point == point]
            if places and places[-1] >= 2 and point != GROWN:
                return chain[: places[-1]]
        raise PointNotFoundError(f"disk {self.layers.disk_id} has no frozen point {point}")

    def drop_past(self) -> list[str]:
        """Remove what the disk held before reverts and nobody needs any more.

        Returns the disks that had the same layers, and may merge them now. Raises EngineError.
        """
        freed: list[str] = []
        for past in list(self.past):
            with self.lock:
                if past.needed(+self.pinned):
                    continue
            forked = past.layers.forked_from()
            past.remove()
            freed += forked
            with self.lock:
                if past in self.past:
                    self.past.remove(past)
        return freed

    def due_merge(self) -> LayerMerge | None:
        """The merge to do next; forgets released points that are gone."""
        base, *overlays = self.layers.check()
        below = [layer.point for layer in overlays]
        self.released = {p: stored for p, stored in self.released.items() if p in below}
        self.failed.intersection_update(below)
        highest = self.layers.fixed()
        ready = base.source is None and not self.switch_due and highest < 0
        fixed = sum(layer.number <= highest for layer in overlays)
        released = self.released | {GROWN: False}
        pairs = enumerate(pairwise(overlays), start=1)
        stuck = {place for place, (lower, upper) in pairs if not _can_hold(lower, upper)}
        due = next_merge(below, released, +self.pinned, base_ready=ready, fixed=fixed, stuck=stuck)
        if due is None:
            return None
        bottom = base if due.bottom == BASE else overlays[due.bottom]
        first, top = due.bottom + 1, due.top
        # Layers of one size at a time: QEMU would copy what lies past a shorter one's end as zeros.
        while overlays[top].size > overlays[first].size:
            top -= 1
        return LayerMerge(bottom, overlays[first : top + 1], overlays[top + 1], overlays[-1])


def _can_hold(lower: Layer, upper: Layer) -> bool:
    """Whether an overlay can take in the one above, which may be larger.

    One that does not say how large the layer below is must keep its size, which says it.
    """
    return lower.size == upper.size or lower.below is not None
