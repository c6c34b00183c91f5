"""Room set aside: where it may be, given up and taken again."""

from __future__ import annotations

from pathlib import Path

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
    ours = True
    reserve.take()
    ours = False
    assert not reserve.give_up()
    assert reserve.held() == SIZE
    ours = True
    assert reserve.give_up()


def test_what_changes_hands_meanwhile_is_left_clean(tmp_path: Path) -> None:
    answers = iter([True, False])
    Reserve(tmp_path / "reserve", SIZE, ours=lambda: next(answers)).take()
    assert list(tmp_path.iterdir()) == []
    assert next(answers, None) is None


def test_no_link_is_followed(tmp_path: Path) -> None:
    """Who can write to a vault could have files of the server's user deleted by it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "0").write_text("precious")
    reserve = Reserve(tmp_path / "reserve", SIZE)
    reserve.path.symlink_to(victim)
    assert not reserve.give_up()
    reserve.take()
    assert [path.read_text() for path in victim.iterdir()] == ["precious"]
    assert reserve.path.is_symlink()
    assert reserve.held() == 0


def test_only_its_own_files_are_deleted(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", SIZE)
    reserve.take()
    (reserve.path / "notes").touch()
    reserve.give_up(2 * SIZE)
    assert [path.name for path in reserve.path.iterdir()] == ["notes"]


def test_one_file_of_earlier_versions_is_replaced(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", SIZE)
    reserve.path.write_bytes(bytes(SIZE))
    assert not reserve.give_up()
    reserve.take()
    assert reserve.held() == SIZE
