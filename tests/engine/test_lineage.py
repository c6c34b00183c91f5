"""Which layers may be merged: no merge takes away what somebody needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.engine.lineage import BASE, SHORT_CHAIN, Merge, next_merge

NEEDED, STORED, GIVEN_UP, PINNED = "needed", "stored", "given up", "pinned"
states = st.lists(st.sampled_from([NEEDED, STORED, GIVEN_UP, PINNED]), max_size=14)


def merge_of(*kinds: str) -> Merge | None:
    """The merge for a disk with these points above its origin."""
    points = ["origin", *(f"p{n}" for n in range(1, len(kinds) + 1))]
    released = {
        point: kind != GIVEN_UP
        for point, kind in zip(points[1:], kinds, strict=True)
        if kind != NEEDED
    }
    pinned = {point for point, kind in zip(points[1:], kinds, strict=True) if kind == PINNED}
    return next_merge(points, released, pinned)


def test_nothing_is_merged_while_all_points_are_needed() -> None:
    assert merge_of() is None
    assert merge_of(NEEDED, NEEDED) is None


def test_base_takes_in_what_lies_below_a_stored_point() -> None:
    assert merge_of(STORED) == Merge(BASE, 0)
    assert merge_of(STORED, NEEDED) == Merge(BASE, 0)
    assert merge_of(STORED, STORED, NEEDED) == Merge(BASE, 1)
    assert merge_of(GIVEN_UP, STORED) == Merge(BASE, 1)


def test_a_needed_point_keeps_what_lies_below_it() -> None:
    assert merge_of(NEEDED, STORED) is None
    assert merge_of(PINNED, STORED) is None
    assert merge_of(STORED, NEEDED, STORED) == Merge(BASE, 0)


def test_a_point_given_up_joins_its_neighbours() -> None:
    assert merge_of(GIVEN_UP) is None
    assert merge_of(GIVEN_UP, NEEDED) == Merge(0, 1)
    assert merge_of(NEEDED, GIVEN_UP, GIVEN_UP, NEEDED) == Merge(1, 3)


def test_stored_points_below_a_later_one_give_way_in_a_long_chain() -> None:
    assert merge_of(NEEDED, *[STORED] * 3) is None
    assert merge_of(NEEDED, *[STORED] * SHORT_CHAIN) == Merge(1, SHORT_CHAIN)


@given(states)
def test_no_needed_point_is_ever_lost(kinds: list[str]) -> None:
    points = ["origin", *(f"p{n}" for n in range(1, len(kinds) + 1))]
    kind_of = dict(zip(points[1:], kinds, strict=True))
    released = {p: k != GIVEN_UP for p, k in kind_of.items() if k != NEEDED}
    pinned = {p for p, k in kind_of.items() if k == PINNED}
    stored = [p for p, k in kind_of.items() if k in (STORED, PINNED)]
    steps = 0

    while (merge := next_merge(points, released, pinned)) is not None:
        # The overlays merged are named after the points that vanish or go into the base.
        gone = points[merge.bottom + 1 : merge.top + 1]
        assert 0 <= merge.top < len(points) - 1
        if merge.bottom == BASE:
            # The base moves up to the point above; those below it cannot be read any more.
            unreadable = [*gone[1:], points[merge.top + 1]]
        else:
            unreadable = gone
        assert not [p for p in unreadable if kind_of[p] in (NEEDED, PINNED)]
        del points[merge.bottom + 1 : merge.top + 1]
        steps += 1
        assert steps < 20

    if stored:
        assert stored[-1] in points
    if not {NEEDED, PINNED} & set(kinds):
        assert len(points) <= 2 + (GIVEN_UP in kinds)
