"""Small bars: what changed before each of the newest snapshots, and how full something is."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mooring.model.amounts import amount
from mooring.model.counts import counted

WIDTH, HEIGHT, STEP = 120, 28, 5


def sparkline(changes: Sequence[int]) -> Markup:
    """A bar for each snapshot, oldest first, of the bytes that had changed."""
    if not changes:
        return Markup('<span class="none">no snapshot yet</span>')
    largest = max(changes) or 1
    heights = [max(1.5, (HEIGHT - 2) * (one / largest) ** 0.5) for one in changes]
    # One path for all: a list has many of these.
    bars = "".join(
        f"M{number * STEP + STEP / 2:g} {HEIGHT}v-{height:.0f}"
        for number, height in enumerate(heights)
    )
    text = (
        f"Changed before the last {counted(len(changes), 'snapshot')}: "
        f"{amount(changes[-1])} most recently, {amount(largest if max(changes) else 0)} at most"
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img">'
        '<title>{}</title><path d="{}"/></svg>'
    ).format(WIDTH, HEIGHT, WIDTH, HEIGHT, text, bars)


def meter(part: float, text: str, kind: str = "") -> Markup:
    """A bar that is filled to a part of one."""
    part = min(1.0, max(0.0, part))
    return Markup(
        '<svg class="meter {}" viewBox="0 0 200 8" preserveAspectRatio="none" role="img">'
        '<title>{}</title><rect class="whole" width="200" height="8"/>'
        '<rect class="part" width="{:.1f}" height="8"/></svg>'
    ).format(kind, text, 200 * part)
