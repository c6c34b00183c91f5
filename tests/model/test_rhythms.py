"""Rhythms of snapshots: what is understood, when due, what is kept."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.model.automatic.rhythm import (
    DAY_MS,
    EXAMPLE,
    HOUR_MS,
    LONGEST_SPREAD_MS,
    MINUTE_MS,
    SECOND_MS,
    WEEK_MS,
    Rhythm,
    next_due,
    offset_of,
    parse_rhythms,
    superfluous,
    tagged,
)
from mooring.model.errors import InvalidInputException
from mooring.model.tags import read_tags

START = 1_700_000_000_000
IDS = st.uuids().map(str)
RHYTHMS = st.lists(
    st.builds(
        lambda period, count: Rhythm(period * SECOND_MS, period * SECOND_MS * count),
        st.sampled_from([1, 2, 10, 45, 300, 420, 900, 3600, 21600, 86400, 604800]),
        st.integers(1, 30),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one.period_ms,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hourly keep 2 weeks", [Rhythm(HOUR_MS, 2 * WEEK_MS)]),
        ("every hour keep 1 day", [Rhythm(HOUR_MS, DAY_MS)]),
        ("every second keep 1 minute", [Rhythm(SECOND_MS, MINUTE_MS)]),
        (
            "every 5 minutes keep 2 days / every 10 seconds keep 10 minutes",
            [Rhythm(10 * SECOND_MS, 10 * MINUTE_MS), Rhythm(5 * MINUTE_MS, 2 * DAY_MS)],
        ),
        ("Every 15 Minutes keep 2 days", [Rhythm(15 * MINUTE_MS, 2 * DAY_MS)]),
        (
            "weekly keep 1 year+daily keep 1 month",
            [Rhythm(DAY_MS, 30 * DAY_MS), Rhythm(WEEK_MS, 365 * DAY_MS)],
        ),
        (
            EXAMPLE,
            [
                Rhythm(15 * MINUTE_MS, 2 * DAY_MS),
                Rhythm(HOUR_MS, 2 * WEEK_MS),
                Rhythm(DAY_MS, 365 * DAY_MS),
            ],
        ),
    ],
)
def test_rhythms_that_are_understood(text: str, wanted: list[Rhythm]) -> None:
    assert list(parse_rhythms(text)) == wanted
    assert parse_rhythms(text.replace(" / ", ", ").replace("+", ",")) == tuple(wanted)


def test_the_example_fits_into_a_tag() -> None:
    tags = read_tags([{"key": "mooring:snapshots", "value": EXAMPLE}])

    assert tagged(tags) == EXAMPLE
    assert tagged({}) is None
    assert tagged({"mooring:snapshots": " None "}) == "none"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("/", "it is empty"),
        ("fortnightly keep 1 year", "'fortnightly keep 1 year' is not a rhythm"),
        ("hourly", "'hourly' is not a rhythm"),
        ("hourly keep 7", "'hourly keep 7' is not a rhythm"),
        ("every 0.5 seconds keep 1 day", "'every 0.5 seconds keep 1 day' is not a rhythm"),
        ("every 0 seconds keep 1 day", "more often than every second"),
        ("every second keep 2 hours", "would keep more than 5000 snapshots"),
        ("every 2 years keep 9 years", "less often than once in a year"),
        ("daily keep 1 hour", "keeps none until the next one is taken"),
        ("every 5 minutes keep 1 year", "would keep more than 5000 snapshots"),
        ("hourly keep 1 day / every hour keep 2 days", "the same period"),
        (" / ".join(f"every {n} hours keep 9 days" for n in range(1, 10)), "8 is the limit"),
    ],
)
def test_rhythms_that_are_not(text: str, why: str) -> None:
    with pytest.raises(InvalidInputException) as caught:
        parse_rhythms(text)
    assert why in caught.value.message
    assert EXAMPLE in caught.value.message


@given(st.text(max_size=80))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        rhythms = parse_rhythms(text)
    except InvalidInputException:
        return
    assert rhythms
    assert all(one.period_ms >= SECOND_MS for one in rhythms)


@given(RHYTHMS, IDS, st.integers(0, 400 * DAY_MS))
def test_the_next_is_due_within_the_shortest_period(
    rhythms: Sequence[Rhythm], disk_id: str, after: int
) -> None:
    now = START + after
    offset = offset_of(disk_id, rhythms)
    assert 0 <= offset < min(LONGEST_SPREAD_MS, min(one.period_ms for one in rhythms) / 3)
    assert offset % SECOND_MS == 0

    due = next_due(rhythms, now, offset)

    assert now < due <= now + min(one.period_ms for one in rhythms)
    # A new piece of time of some rhythm begins there, and of none between.
    assert any(one.piece(due - 1, offset) != one.piece(due, offset) for one in rhythms)
    assert all(one.piece(now, offset) == one.piece(due - 1, offset) for one in rhythms)


class Disk:
    """A disk's snapshots over time: taken when due unless the server is down, and retained."""

    def __init__(self, rhythms: Sequence[Rhythm], offset: int) -> None:
        self.rhythms = rhythms
        self.offset = offset
        self.now = START
        self.due = next_due(rhythms, self.now, offset)
        self.kept: list[int] = []
        self.ever: list[int] = []

    def take(self, delay: int) -> None:
        self.now = max(self.now + 1, self.due + delay)
        self.ever.append(self.now)
        self.kept.append(self.now)
        self.due = next_due(self.rhythms, self.now, self.offset)
        gone = superfluous(self.rhythms, self.kept, self.now, self.offset)
        self.kept = [one for one in self.kept if one not in gone]

    def check(self) -> None:
        """Each rhythm's promise, said of all that was ever taken rather than of what is left."""
        needed = {self.ever[-1]}
        for rhythm in self.rhythms:
            for moment in self.ever:
                piece = rhythm.piece(moment, self.offset)
                first = min(one for one in self.ever if rhythm.piece(one, self.offset) == piece)
                if first + rhythm.keep_ms > self.now:
                    needed.add(first)
        assert needed <= set(self.kept)
        for moment in set(self.kept) - needed:
            assert any(self._stands_in(rhythm, moment) for rhythm in self.rhythms)
        most = sum(-(-one.keep_ms // one.period_ms) + 1 for one in self.rhythms)
        assert len(self.kept) <= most + 1

    def _stands_in(self, rhythm: Rhythm, moment: int) -> bool:
        """Whether it is the first that is left of a piece whose own first has had its time."""
        piece = rhythm.piece(moment, self.offset)
        first = min(one for one in self.ever if rhythm.piece(one, self.offset) == piece)
        return first + rhythm.keep_ms <= self.now < moment + rhythm.keep_ms


@settings(max_examples=60, deadline=None)
@given(RHYTHMS, IDS, st.lists(st.integers(0, 3000), min_size=1, max_size=60))
def test_what_is_promised_is_kept_and_nothing_else(
    rhythms: Sequence[Rhythm], disk_id: str, delays: list[int]
) -> None:
    disk = Disk(rhythms, offset_of(disk_id, rhythms))
    for delay in delays:
        # Mostly a few seconds late, now and then hours: the server was down.
        disk.take(delay * 1000 if delay < 2500 else delay * 40_000)
        disk.check()


@settings(max_examples=15, deadline=None)
@given(IDS, st.integers(0, 1000))
def test_a_server_that_never_sleeps_leaves_no_gaps(disk_id: str, seed: int) -> None:
    rhythms = parse_rhythms("every 15 minutes keep 3 hours/hourly keep 2 days/daily keep 1 week")
    disk = Disk(rhythms, offset_of(disk_id, rhythms))
    chance = random.Random(seed)
    slack = 60_000
    while disk.now < START + 9 * DAY_MS:
        disk.take(chance.randrange(slack))
        if chance.random() < 0.98:
            continue
        for rhythm in rhythms:
            oldest = max(disk.now - rhythm.keep_ms, disk.ever[0]) + rhythm.period_ms + slack
            for back in range(0, disk.now - oldest, rhythm.period_ms):
                moment = disk.now - back
                # Whoever wants the disk of that moment finds it, one period old at most.
                assert any(0 <= moment - one <= rhythm.period_ms + slack for one in disk.kept)


def test_disks_are_spread_evenly() -> None:
    offsets = sorted(offset_of(f"disk-{number}") for number in range(400))
    quarter = LONGEST_SPREAD_MS // 4
    for part in range(4):
        inside = sum(part * quarter <= one < (part + 1) * quarter for one in offsets)
        assert 60 <= inside <= 140
