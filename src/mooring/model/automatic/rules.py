"""The rules of automatic snapshots: the add-on's day, its times, its seven kept ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from mooring.model.automatic.rhythm import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    next_due,
    offset_of,
    parse_rhythms,
)
from mooring.model.errors import InvalidInputException
from mooring.model.names import MAX_NAME_LENGTH, shown

KEPT = 7
"""Automatic snapshots of the add-on that a resource has at most; the oldest makes room."""

NOTICE_MS = 30 * MINUTE_MS
"""A new time of day that is not farther away than this takes effect on the next day."""

RETRY_MS = 5 * MINUTE_MS
"""When what could not be frozen is tried again: the latest."""

SOONEST_RETRY_MS = MINUTE_MS
"""The same for rhythms that are more frequent than that."""

_ADD_ON_WITHIN_MS = 2 * DAY_MS

_TIME = re.compile(r"([01][0-9]|2[0-3]):00", re.ASCII)

_DEFAULT_HOURS = {
    "us-east-1": 6,
    "us-east-2": 3,
    "us-west-2": 6,
    "ca-central-1": 6,
    "eu-central-1": 20,
    "eu-north-1": 8,
    "eu-west-1": 22,
    "eu-west-2": 6,
    "eu-west-3": 7,
    "ap-northeast-1": 13,
    "ap-northeast-2": 13,
    "ap-south-1": 17,
    "ap-southeast-1": 14,
    "ap-southeast-2": 12,
}


class AutoSource(StrEnum):
    """Why there are automatic snapshots: the add-on, the resource's tag, the configuration."""

    ADD_ON = "add-on"
    TAG = "tag"
    CONFIG = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRun:
    """When the next automatic snapshot of a disk or an instance is due.

    `policy` is the add-on's time of day (`06:00`), or rhythms. A run is never more than
    `within_ms` ahead, unless the clock was set back. Wanted so since `since_ms`; 0: not known.
    """

    resource_id: str
    source: AutoSource
    region: str
    policy: str
    next_ms: int
    within_ms: int
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class AddOn:
    """The add-on as its resource shows it: its time of day, and when the next snapshot is due.

    One that was disabled is shown on, but nothing is due of it.
    """

    time_of_day: str
    next_ms: int
    enabled: bool = True


def time_of_day(text: str | None, region: str) -> str:
    """Return the time, or the region's own for None. Raises InvalidInputException."""
    if text is None:
        return f"{_DEFAULT_HOURS.get(region, 6):02}:00"
    if not _TIME.fullmatch(text):
        raise InvalidInputException(
            f"The snapshot time of day {shown(text)} is not valid. It must be a full hour in "
            "Coordinated Universal Time, in the form HH:00, such as 06:00."
        )
    return text


def add_on_run(resource_id: str, region: str, time: str, now_ms: int) -> AutoRun:
    """The first run at a time of day that was set now; the hour must be far enough away."""
    start = int(time[:2]) * HOUR_MS
    soonest = now_ms + NOTICE_MS
    hour = soonest - (soonest - start) % DAY_MS + DAY_MS
    return AutoRun(
        resource_id=resource_id,
        source=AutoSource.ADD_ON,
        region=region,
        policy=time,
        next_ms=hour + offset_of(resource_id),
        within_ms=_ADD_ON_WITHIN_MS,
        since_ms=now_ms,
    )


def rhythm_run(
    resource_id: str, region: str, source: AutoSource, policy: str, now_ms: int
) -> AutoRun:
    """The first run of what follows rhythms from now on."""
    rhythms = parse_rhythms(policy)
    return AutoRun(
        resource_id=resource_id,
        source=source,
        region=region,
        policy=policy,
        next_ms=next_due(rhythms, now_ms, offset_of(resource_id, rhythms)),
        within_ms=rhythms[0].period_ms,
        since_ms=now_ms,
    )


def following(run: AutoRun, now_ms: int) -> AutoRun:
    """The run after this moment."""
    within = _ADD_ON_WITHIN_MS
    if run.source is not AutoSource.ADD_ON:
        within = parse_rhythms(run.policy)[0].period_ms
    return replace(run, next_ms=next_run(run, now_ms), within_ms=within)


def again(run: AutoRun, tried_ms: int) -> AutoRun:
    """The run by which one that failed is tried again."""
    wait = retry_ms(run)
    return replace(run, next_ms=tried_ms + wait, within_ms=max(run.within_ms, wait))


def next_run(run: AutoRun, now_ms: int) -> int:
    """When the run after this moment is due: the add-on's within 40 minutes after its hour."""
    if run.source is not AutoSource.ADD_ON:
        rhythms = parse_rhythms(run.policy)
        return next_due(rhythms, now_ms, offset_of(run.resource_id, rhythms))
    offset = int(run.policy[:2]) * HOUR_MS + offset_of(run.resource_id)
    return now_ms - (now_ms - offset) % DAY_MS + DAY_MS


def retry_ms(run: AutoRun) -> int:
    """How long after a freeze that failed the next one is tried."""
    if run.source is AutoSource.ADD_ON:
        return RETRY_MS
    return min(RETRY_MS, max(SOONEST_RETRY_MS, parse_rhythms(run.policy)[0].period_ms))


def day(time_ms: int) -> str:
    """The date in UTC, as YYYY-MM-DD."""
    return _utc(time_ms).strftime("%Y-%m-%d")


def minute(time_ms: int) -> str:
    """The date and the minute in UTC, as YYYY-MM-DDTHH:MM."""
    return _utc(time_ms).strftime("%Y-%m-%dT%H:%M")


def second(time_ms: int) -> str:
    """The date and the second in UTC, as YYYY-MM-DDTHH:MM:SS."""
    return _utc(time_ms).strftime("%Y-%m-%dT%H:%M:%S")


def stamp(time_ms: int) -> str:
    """The whole moment in UTC, as YYYY-MM-DDTHH:MM:SS.mmm."""
    return f"{second(time_ms)}.{time_ms % 1000:03}"


def dates(moments: Collection[int]) -> dict[int, str]:
    """What names each of these moments among them: its minute; its second, where several are of
    that minute; all of it, where several are of that second."""
    found: dict[int, str] = {}
    for spell in (stamp, second, minute):
        spelled = {moment: spell(moment) for moment in moments}
        times = Counter(spelled.values())
        found |= {moment: text for moment, text in spelled.items() if times[text] == 1}
    return found


def name_of(resource_name: str, time_ms: int) -> str:
    """What a snapshot is called that has no name of its own: no resource can be called so."""
    return f"{resource_name}@{stamp(time_ms)}"


def name_as_manual(resource_name: str, time_ms: int) -> str:
    """The name of an automatic snapshot that becomes a manual one: without @ and colons."""
    ending = f"-auto-{stamp(time_ms).replace(':', '-')}"
    return resource_name[: MAX_NAME_LENGTH - len(ending)] + ending


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)
