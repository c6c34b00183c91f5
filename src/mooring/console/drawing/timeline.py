"""A disk's timeline: a bar for each snapshot, as high as its changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from mooring.model.amounts import amount
from mooring.model.counts import counted

WIDTH, HEIGHT, FOOT = 960, 150, 24
_TOP = 10
_LEAST = 3.0
_STEPS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)


def draw(
    snapshots: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
    address: str,
    now_ms: int,
) -> Markup:
    """The snapshots on a line of time; each leads to its page, at `address` and its name.

    What is pending is hollow, what is consistent bears a dot, what was missed is a gap with a mark.
    """
    if not snapshots:
        return Markup("")
    now = now_ms / 1000
    oldest = min(one["createdAt"] for one in snapshots)
    begin = oldest - max(30.0, (now - oldest) * 0.03)
    failed = [one for one in failures if one["at"] >= begin]
    largest = max((one["changedBytes"] or 0) for one in snapshots) or 1
    across = WIDTH / (now - begin + max(15.0, (now - begin) * 0.02))
    floor = HEIGHT - FOOT
    width = max(3.0, min(14.0, 0.6 * WIDTH / len(snapshots)))

    def bar(one: Mapping[str, Any]) -> Markup:
        part = ((one["changedBytes"] or 0) / largest) ** 0.5
        height = _LEAST + (floor - _TOP - _LEAST) * part
        x = (one["createdAt"] - begin) * across - width / 2
        kinds = [str(one["state"]), str(one["consistency"] or "unknown")]
        dot = Markup("")
        if one["consistency"] in ("file-system", "application", "at-rest"):
            dot = Markup('<circle class="rest" cx="{:.1f}" cy="{:.1f}" r="2.4"/>').format(
                x + width / 2, floor + 6
            )
        when = datetime.fromtimestamp(one["createdAt"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        changed = "" if one["changedBytes"] is None else f", {amount(one['changedBytes'])} changed"
        text = f"{one['diskSnapshotName']}, {when} UTC, {one['state']}{changed}"
        return Markup(
            '<a href="{}{}" aria-label="{}" tabindex="-1"><title>{}</title><rect class="{}" '
            'x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5"/>{}</a>'
        ).format(
            address, _quoted(one["diskSnapshotName"]), text, text, " ".join(kinds), x,
            floor - height, width, height, dot,
        )  # fmt: skip

    def missed(one: Mapping[str, Any]) -> Markup:
        return Markup(
            '<g class="missed"><title>Missed: {}</title><path d="M{:.1f} {}l4 7h-8z"/></g>'
        ).format(one["reason"], (one["at"] - begin) * across, floor - 9)

    text = (
        f"Timeline of {counted(len(snapshots), 'snapshot')}, "
        f"{counted(len(failed), 'missed one')}; the table below says the same"
    )
    parts = [*_ticks(begin, now, across, floor), *map(missed, failed), *map(bar, snapshots)]
    return Markup(
        '<svg class="timeline" viewBox="0 0 {} {}" role="group" aria-label="{}">'
        '<line class="floor" x1="0" x2="{}" y1="{}" y2="{}"/>{}</svg>'
    ).format(WIDTH, HEIGHT, text, WIDTH, floor, floor, Markup("").join(parts))


def _ticks(begin: float, now: float, across: float, floor: float) -> list[Markup]:
    """Marks of the hours, days or weeks below the line."""
    step = next((one for one in _STEPS if (now - begin) / one <= 8), _STEPS[-1])
    ticks = []
    moment = begin - begin % step + step
    while moment <= now:
        when = datetime.fromtimestamp(moment, UTC)
        text = when.strftime(
            "%H:%M" if step < 86_400 else "%b %d" if step < 30 * 86_400 else "%Y-%m"
        )
        x = (moment - begin) * across
        ticks.append(
            Markup(
                '<line class="tick" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
                '<text x="{0:.1f}" y="{3}">{4}</text>'
            ).format(x, _TOP, floor, HEIGHT - 4, text)
        )
        moment += step
    return ticks


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
