"""Which layers of a disk may be merged next."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

ZERO_ORIGIN = "00000000-0000-0000-0000-000000000000"
"""The origin of a disk that was made of zeros, in place of a snapshot's id."""

GROWN = "00000000-0000-0000-0000-000000000001"
"""The point below an overlay that was put on top to make the disk larger: nobody opens it."""

SHORT_CHAIN = 8
"""Overlays up to which points that may still serve as `since` are all kept.

Reads lose nothing measurable up to 20 layers (QEMU 7.2, 4 KiB, queue depth 1), so this leaves
room for the pending points above.
"""

BASE = -1
"""The place of the base, below overlay 0."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Overlays `bottom + 1` up to `top` go into layer `bottom`; places count from 0."""

    bottom: int
    top: int


def next_merge(
    points: Sequence[str],
    released: Mapping[str, bool],
    pinned: Container[str],
    *,
    base_ready: bool = True,
    fixed: int = 0,
    stuck: Container[int] = (),
) -> Merge | None:
    """Choose the merge to do next, or None.

    `points[i]` is the id of the point right below overlay `i`, so `points[0]` is what the
    base alone holds: the origin, or a point whose layers are in the base already. `released`
    tells for each released point whether it is stored; `pinned` are those open for reading.
    A base that is not ready, because it is still being filled, takes part in no merge; neither do
    the lowest `fixed` overlays, because another disk has them, too.
    Overlays at `stuck` places go into the base only, not into the overlay below.

    The base takes in all that lies below the highest stored point which has no needed point
    at or below it. Elsewhere a point that nobody needs lets the overlay above it go into the
    one below it. The newest overlay, which takes the writes, stays out of every merge.
    """
    count = len(points)
    for place in range(1, count):
        if points[place] not in released or points[place] in pinned:
            needed_from = place
            break
    else:
        needed_from = count
    stored = [place for place in range(1, count) if released.get(points[place])]
    settled = [place for place in stored if place < needed_from]
    if settled and base_ready and not fixed:
        return Merge(BASE, settled[-1] - 1)
    newest_stored = stored[-1] if stored else 0

    def superfluous(place: int) -> bool:
        point = points[place]
        if point not in released or point in pinned or place in stuck:
            return False
        return not released[point] or (place < newest_stored and count > SHORT_CHAIN)

    for place in range(fixed + 1, count - 1):
        if superfluous(place):
            top = place
            while top + 1 < count - 1 and superfluous(top + 1):
                top += 1
            return Merge(place - 1, top)
    return None
