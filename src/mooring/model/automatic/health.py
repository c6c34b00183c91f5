"""Whether automatic snapshots exist as wanted, and what failed."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.model.automatic.rhythm import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    WEEK_MS,
    offset_of,
    parse_rhythms,
)
from mooring.model.automatic.rules import KEPT, AutoRun, AutoSource, minute, name_of, next_run
from mooring.model.counts import counted
from mooring.model.operation import ResourceType

KEPT_FAILURES = 7
"""Failures that are kept of each resource and source; the oldest makes room."""

LONGEST_GRACE_MS = 15 * MINUTE_MS
"""So much later than wanted nobody is told yet; of frequent rhythms less."""

NOT_LOOKED = "no server ran when it was due, or its host slept"

_UNITS = ((WEEK_MS, "week"), (DAY_MS, "day"), (HOUR_MS, "hour"), (MINUTE_MS, "minute"))
_PERIODS = (*_UNITS, (SECOND_MS, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoFailure:
    """An automatic snapshot that was not taken, or not stored, however often it was tried.

    `piece_ms` begins the piece of time that has none for it; the tries were from `first_ms` to
    `last_ms`, and `reason` is that of the last.
    """

    resource_id: str
    source: AutoSource
    piece_ms: int
    first_ms: int
    last_ms: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoHealth:
    """How the automatic snapshots of one resource and source are. Times are milliseconds.

    They are wanted since `since_ms` (0: for longer than anybody knows), every `period_ms`, and the
    next is due at `next_ms`; `newest_ms` is the newest that is stored, `failure` the last one, and
    `failing_ms` when the first one was since the newest; None if that was no failure.
    """

    kind: ResourceType
    name: str
    region: str
    period_ms: int
    since_ms: int
    next_ms: int
    newest_ms: int | None
    failure: AutoFailure | None
    failing_ms: int | None

    @property
    def grace_ms(self) -> int:
        """So much later than wanted nobody is told yet."""
        return min(LONGEST_GRACE_MS, 3 * self.period_ms + MINUTE_MS)

    @property
    def due_ms(self) -> int:
        """When the one was due, or is, that is wanted next: in the past while it fails."""
        return self.next_ms if self.failing_ms is None else min(self.failing_ms, self.next_ms)

    def is_well(self, now_ms: int) -> bool:
        """Whether what is there is what is wanted."""
        known = max(self.newest_ms or 0, self.since_ms)
        late = known > 0 and now_ms - known > 2 * self.period_ms + self.grace_ms
        return not (self.failing_ms is not None or late or self.next_ms + self.grace_ms < now_ms)

    def is_told(self, now_ms: int) -> bool:
        """Whether somebody is to be told: of quick rhythms not of a single failure."""
        if self.is_well(now_ms):
            return False
        if self.period_ms >= MINUTE_MS or self.failing_ms is None:
            return True
        return now_ms - self.failing_ms >= min(10 * self.period_ms, MINUTE_MS)

    def sentence(self, now_ms: int) -> str:
        """What is there, what is wanted, and the last failure."""
        text = "there is no automatic snapshot"
        if self.newest_ms is not None:
            age = span(now_ms - self.newest_ms)
            newest = name_of(self.name, self.newest_ms)
            text = f"the newest automatic snapshot, {newest}, is {age} old"
        text += f", wanted {every(self.period_ms)}"
        if self.next_ms + self.grace_ms < now_ms:
            text += f"; the next is due since {minute(self.next_ms)}"
        if self.failure is not None:
            tries = f" ({self.failure.attempts} tries)" if self.failure.attempts > 1 else ""
            moment = minute(self.failure.last_ms)
            text += f"; the last failure, of {moment}{tries}: {self.failure.reason}"
        return text


def period_of(run: AutoRun) -> int:
    """How often one is wanted: the most frequent of its rhythms, in milliseconds."""
    return DAY_MS if run.source is AutoSource.ADD_ON else parse_rhythms(run.policy)[0].period_ms


def piece_of(run: AutoRun, time_ms: int) -> int:
    """When the piece of time begins that wants a snapshot of its own: a day of the add-on's."""
    if run.source is AutoSource.ADD_ON:
        return time_ms - time_ms % DAY_MS
    rhythms = parse_rhythms(run.policy)
    following = rhythms[0].next_after(time_ms, offset_of(run.resource_id, rhythms))
    return following - rhythms[0].period_ms


def failures_end(run: AutoRun, now_ms: int) -> int:
    """Failures before that are told no more: a snapshot of then would be gone, too."""
    if run.source is AutoSource.ADD_ON:
        return now_ms - KEPT * DAY_MS
    return now_ms - parse_rhythms(run.policy)[0].keep_ms


def missed(run: AutoRun, now_ms: int, looked_ms: int | None) -> list[int]:
    """The moments at which a snapshot was due and that the one taken now does not stand for.

    The newest only, and only those after `looked_ms`, when somebody looked before; None: nobody
    did.
    """
    start = now_ms - (KEPT_FAILURES + 1) * period_of(run)
    if looked_ms is not None:
        start = max(start, looked_ms)
    moment = run.next_ms if run.next_ms >= start else next_run(run, start)
    found = []
    while moment <= now_ms:
        found.append(moment)
        moment = next_run(run, moment)
    return found[:-1][-KEPT_FAILURES:]


def every(period_ms: int) -> str:
    """A period in words, such as `every day` or `every 15 minutes`."""
    unit, word = next(one for one in _PERIODS if period_ms % one[0] == 0)
    count = period_ms // unit
    return f"every {word}" if count == 1 else f"every {counted(count, word)}"


def span(length_ms: int) -> str:
    """A length of time in words, such as `3 days`."""
    for unit, word in _UNITS[1:]:
        if length_ms >= 2 * unit:
            return f"{length_ms // unit} {word}s"
    return "a minute" if length_ms >= MINUTE_MS else "less than a minute"
