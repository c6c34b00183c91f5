"""When a file system will be full, if it goes on filling as it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS

SAMPLE_MS = HOUR_MS // 2
"""How often it is noted how much is free."""

KEPT_MS = 14 * DAY_MS
"""For how long that is kept."""

LEAST_MS = 6 * HOUR_MS
"""From less than that nothing follows: a restore, or a deletion, would decide alone."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many bytes were free at a moment."""

    at_ms: int
    free_bytes: int


def seconds_until_full(samples: Sequence[Sample], free_bytes: int) -> float | None:
    """After how long nothing is free; None if it does not fill up, or is not known long enough.

    By the straight line that is nearest to the samples.
    """
    if len(samples) < 3 or samples[-1].at_ms - samples[0].at_ms < LEAST_MS:
        return None
    start = samples[0].at_ms
    times = [(one.at_ms - start) / 1000 for one in samples]
    free = [float(one.free_bytes) for one in samples]
    middle_time, middle_free = sum(times) / len(times), sum(free) / len(free)
    spread = sum((time - middle_time) ** 2 for time in times)
    slope = (
        sum(
            (time - middle_time) * (bytes_free - middle_free)
            for time, bytes_free in zip(times, free, strict=True)
        )
        / spread
    )
    return free_bytes / -slope if slope < 0 else None
