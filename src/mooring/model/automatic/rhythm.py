"""Rhythms of automatic snapshots: how often, how long kept, what is deleted.

    every 10 seconds keep 10 minutes / every 15 minutes keep 2 days / daily keep 1 year

Time is cut into pieces of a rhythm's period, counted from 1970 (weeks from a Monday) and moved by
an offset that differs from resource to resource. A rhythm promises the first snapshot of each
piece of time, for as long as it is kept. Because the first one stays the first, nothing is let
go that is missed later, whatever was taken or failed in between.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mooring.model.counts import counted
from mooring.model.errors import InvalidInputException
from mooring.model.names import shown

RHYTHMS_TAG = "mooring:snapshots"
"""The key of the tag on a disk or an instance that holds its rhythms."""

NO_RHYTHMS = "none"
"""What the tag says where the rhythms of the configuration shall not be followed."""

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

MIN_PERIOD_MS = SECOND_MS
MAX_RHYTHMS = 8
MAX_KEPT = 5000
"""Snapshots that one rhythm may keep of one resource."""

LONGEST_SPREAD_MS = 40 * MINUTE_MS
"""How far the snapshots of different resources are spread, at most."""

_UNITS = {
    "second": SECOND_MS,
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "day": DAY_MS,
    "week": WEEK_MS,
    "month": 30 * DAY_MS,
    "year": 365 * DAY_MS,
}
_ADVERBS = {"hourly": HOUR_MS, "daily": DAY_MS, "weekly": WEEK_MS}
_NUMBERED = r"(\d{1,6}) *(second|minute|hour|day|week|month|year)s?"
_RHYTHM = re.compile(
    rf"(?:(hourly|daily|weekly)|every +(?:{_NUMBERED}|(second|minute|hour|day|week)))"
    rf" +keep +{_NUMBERED}"
)
_SEPARATOR = re.compile(r" *[/,+;] *")
_MONDAY_MS = 4 * DAY_MS
"""The first Monday after 1970-01-01, which was a Thursday."""

EXAMPLE = "every 15 minutes keep 2 days / hourly keep 2 weeks / daily keep 1 year"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A snapshot in each `period_ms`, kept for `keep_ms`. Milliseconds."""

    period_ms: int
    keep_ms: int

    def piece(self, time_ms: int, offset_ms: int) -> int:
        """The number of the piece of time in which a moment is."""
        return (time_ms - _MONDAY_MS - offset_ms) // self.period_ms

    def next_after(self, time_ms: int, offset_ms: int) -> int:
        """When the piece of time after the present one begins."""
        return _MONDAY_MS + offset_ms + (self.piece(time_ms, offset_ms) + 1) * self.period_ms


@lru_cache(maxsize=1024)
def parse_rhythms(text: str) -> tuple[Rhythm, ...]:
    """Read rhythms, the most frequent first. Raises InvalidInputException, which says why.

    They are parted by a slash; where commas are allowed, by a comma as well.
    """
    parts = [part for part in _SEPARATOR.split(text.strip().lower()) if part]
    if not parts:
        raise _wrong(text, "it is empty")
    if len(parts) > MAX_RHYTHMS:
        given = counted(len(parts), "rhythm")
        raise _wrong(text, f"it has {given}, and {MAX_RHYTHMS} is the limit")
    rhythms = sorted({_parse_one(text, part) for part in parts}, key=lambda one: one.period_ms)
    if len({one.period_ms for one in rhythms}) < len(rhythms):
        raise _wrong(text, "two of its rhythms have the same period")
    return tuple(rhythms)


def tagged(tags: Mapping[str, str | None]) -> str | None:
    """The rhythms that a resource's tags give it, checked; `none` included; None without any."""
    if RHYTHMS_TAG not in tags:
        return None
    text = (tags[RHYTHMS_TAG] or "").strip()
    if text.lower() != NO_RHYTHMS:
        parse_rhythms(text)
    return text.lower()


def offset_of(resource_id: str, rhythms: Sequence[Rhythm] = ()) -> int:
    """By how many milliseconds the snapshots of this resource come later than others'.

    Alike for all its rhythms, so that one snapshot serves several; whole seconds, at most a third
    of a period.
    """
    longest = min([LONGEST_SPREAD_MS, *(one.period_ms // 3 for one in rhythms)])
    return zlib.crc32(resource_id.encode()) % max(1, longest // SECOND_MS) * SECOND_MS


def next_due(rhythms: Sequence[Rhythm], time_ms: int, offset_ms: int) -> int:
    """When the next snapshot is due after a moment."""
    return min(one.next_after(time_ms, offset_ms) for one in rhythms)


def superfluous(
    rhythms: Sequence[Rhythm], taken_ms: Iterable[int], now_ms: int, offset_ms: int
) -> set[int]:
    """The moments of those snapshots that no rhythm keeps. The newest is always kept.

    When the first of a piece of time has been kept long enough and is gone, the next that is left
    of the piece stands in for it: what was taken before is known only from what is left.
    """
    moments = sorted(taken_ms)
    kept = set(moments[-1:])
    for rhythm in rhythms:
        first: dict[int, int] = {}
        for moment in moments:
            first.setdefault(rhythm.piece(moment, offset_ms), moment)
        kept |= {moment for moment in first.values() if moment + rhythm.keep_ms > now_ms}
    return set(moments) - kept


def _parse_one(text: str, part: str) -> Rhythm:
    found = _RHYTHM.fullmatch(part)
    if found is None:
        raise _wrong(text, f"{shown(part)!r} is not a rhythm")
    adverb, count, unit, single, keep_count, keep_unit = found.groups()
    period = _ADVERBS[adverb] if adverb else int(count or 1) * _UNITS[unit or single]
    keep = int(keep_count) * _UNITS[keep_unit]
    if period < MIN_PERIOD_MS:
        raise _wrong(text, f"{part!r} is more often than every second")
    if period > _UNITS["year"]:
        raise _wrong(text, f"{part!r} is less often than once in a year")
    if keep < period:
        raise _wrong(text, f"{part!r} keeps none until the next one is taken")
    if keep > MAX_KEPT * period:
        raise _wrong(text, f"{part!r} would keep more than {MAX_KEPT} snapshots")
    return Rhythm(period, keep)


def _wrong(text: str, why: str) -> InvalidInputException:
    return InvalidInputException(
        f"The rhythms of snapshots {shown(text)!r} are not valid: {why}. "
        f"Write for example: {EXAMPLE}"
    )
