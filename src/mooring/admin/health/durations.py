"""Durations as people read them."""

from __future__ import annotations

from mooring.model.counts import counted


def duration(milliseconds: int) -> str:
    """In the largest unit of which there are two: `90 seconds`, `2 minutes`."""
    seconds = max(0, milliseconds) // 1000
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return counted(seconds // size, unit)
    return counted(seconds, "second")
