"""Room set aside: where it may be, given up and taken again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mooring.host.reserve import SLICE, Reserve
from mooring.host.room import MIB

SIZE = 4 * MIB


def test_it_is_given_up_in_slices_and_taken_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", SIZE)
    assert not reserve.give_up()
    reserve.take()
    assert reserve.held() == SIZE
    for left in range(SIZE - SLICE, -1, -SLICE):
        assert reserve.give_up()
        assert reserve.held() == left
    assert not reserve.give_up()
    reserve.take()
    assert reserve.held() == SIZE


def test_a_directory_that_is_not_ours_stays_as_it_is(tmp_path: Path) -> None:
    """Of a vault, say: unmounted, another one, or read-only."""
    path, ours = tmp_path / "reserve", False
    reserve = Reserve(path, SIZE, ours=lambda: ours)
    reserve.take()
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"x" * SIZE)
    assert not reserve.give_up()
    assert path.stat().st_size == SIZE
    ours = True
    assert reserve.give_up()


def test_what_changes_hands_meanwhile_is_left_clean(tmp_path: Path) -> None:
    answers = iter([True, False])
    Reserve(tmp_path / "reserve", SIZE, ours=lambda: next(answers)).take()
    assert list(tmp_path.iterdir()) == []
    assert next(answers, None) is None


@pytest.mark.parametrize("size", [0, 2 * SIZE])
def test_no_link_is_followed(tmp_path: Path, size: int) -> None:
    """Who can write to a vault could have a file of the server's user cut short by it."""
    victim = tmp_path / "victim"
    victim.write_bytes(os.urandom(size))
    before = victim.read_bytes()
    reserve = Reserve(tmp_path / "reserve", SIZE)
    reserve.path.symlink_to(victim)
    reserve.give_up()
    reserve.take()
    assert victim.read_bytes() == before
    assert reserve.path.is_symlink()
    assert reserve.held() == 0
