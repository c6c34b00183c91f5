"""Ranges of a disk: joined, completed, looked up."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mooring.model.extents import BLOCK_SIZE, Edges, Extent, joined, with_gaps

KINDS = st.lists(st.sampled_from(["data", "zero", "gap"]), max_size=30)


def extents(kinds: list[str]) -> list[Extent]:
    """One extent for each block that is no gap."""
    return [
        Extent(n * BLOCK_SIZE, BLOCK_SIZE, kind == "zero")
        for n, kind in enumerate(kinds)
        if kind != "gap"
    ]


def kinds_of(found: list[Extent], blocks: int) -> list[str]:
    kinds = ["gap"] * blocks
    for extent in found:
        for n in range(extent.offset // BLOCK_SIZE, extent.end // BLOCK_SIZE):
            assert kinds[n] == "gap", "they overlap"
            kinds[n] = "zero" if extent.zero else "data"
    return kinds


@given(KINDS)
def test_what_is_joined_says_the_same_and_does_not_touch(kinds: list[str]) -> None:
    found = list(joined(extents(kinds)))
    assert kinds_of(found, len(kinds)) == kinds
    for left, right in itertools.pairwise(found):
        assert left.end < right.offset or left.zero != right.zero


@given(KINDS)
def test_gaps_become_zeros(kinds: list[str]) -> None:
    found = list(with_gaps(extents(kinds), len(kinds) * BLOCK_SIZE))
    assert kinds_of(found, len(kinds)) == ["zero" if kind == "gap" else kind for kind in kinds]


@given(KINDS)
def test_edges_tell_of_each_place(kinds: list[str]) -> None:
    edges = Edges(extents(kinds))
    data = [kind == "data" for kind in kinds] + [False]
    for n in range(len(kinds)):
        offset = n * BLOCK_SIZE + 17
        after = data[n:]
        until = after.index(not data[n]) if (not data[n]) in after else None
        assert edges.at(offset) == (data[n], None if until is None else (n + until) * BLOCK_SIZE)
    assert edges.total() == sum(data) * BLOCK_SIZE
    assert [end - start for start, end in edges] == [
        extent.length for extent in joined(one for one in extents(kinds) if not one.zero)
    ]
