"""The index of contents finds what was entered, in a bounded size."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mooring.vault.writing.digest_index import CANDIDATES, DigestIndex, Sizes

CLAIM = b"c" * 16
LARGE = 1 << 30
SMALL = Sizes(recent=20, step=16)
"""So that few frames make many runs, and merges have many parts."""


@pytest.fixture(params=["file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "index" if request.param == "file" else None


def digest(number: int) -> bytes:
    return random.Random(number).randbytes(32)


def segment(number: int) -> bytes:
    return random.Random(-1 - number).randbytes(16)


def enter(index: DigestIndex, number: int, frames: int) -> None:
    """Segment `number` has frames 1, 3, 5, ... with the digests number * 1000 + i."""
    keys = [int.from_bytes(digest(number * 1000 + i)[:8], "little") for i in range(frames)]
    numbers = np.arange(frames) * 2 + 1
    index.add(segment(number), CLAIM, numbers, np.array(keys, "<u8"))


def assert_found(index: DigestIndex, number: int, frames: int) -> None:
    for i in range(frames):
        assert index.find(digest(number * 1000 + i)) == [(segment(number), 2 * i + 1, CLAIM)]


def test_all_that_was_entered_is_found(folder: Path | None) -> None:
    rng = random.Random(4)
    sizes = {number: rng.randrange(12) for number in range(150)}
    index = DigestIndex(folder, LARGE, SMALL)
    for number, frames in sizes.items():
        enter(index, number, frames)

    assert len(index) == sum(sizes.values())
    for number, frames in sizes.items():
        assert_found(index, number, frames)
    assert index.find(digest(999_999)) == []
    every = [segment(number) for number in range(160)]
    assert index.unknown(every) == every[150:]
    if folder is not None:
        # Few runs, so that a search is quick: each much larger than the next.
        assert len(list(folder.glob("*.run"))) <= 5
    index.close()


def test_the_next_process_finds_it_again(tmp_path: Path) -> None:
    index = DigestIndex(tmp_path, LARGE, SMALL)
    for number in range(9):
        enter(index, number, 5)
    index.close()

    again = DigestIndex(tmp_path, LARGE, SMALL)
    for number in range(9):
        assert_found(again, number, 5)
    assert again.unknown([segment(0), segment(9)]) == [segment(9)]
    enter(again, 9, 7)
    assert_found(again, 9, 7)
    again.close()


def test_segments_that_are_gone_are_forgotten(folder: Path | None) -> None:
    index = DigestIndex(folder, LARGE, SMALL)
    for number in range(20):
        enter(index, number, 10)
    index.retain([segment(number) for number in range(0, 20, 2)])

    assert len(index) == 100
    for number in range(20):
        if number % 2:
            assert index.find(digest(number * 1000)) == []
        else:
            assert_found(index, number, 10)
    index.close()


def test_the_newest_stay_when_it_is_full(folder: Path | None) -> None:
    index = DigestIndex(folder, 16 * 100, SMALL)
    for number in range(60):
        enter(index, number, 10)

    assert len(index) <= 100 + 4 * 20
    assert_found(index, 59, 10)
    assert index.find(digest(0)) == []
    # They would only be read again.
    assert index.unknown([segment(0)]) == []
    index.close()


def test_of_many_frames_with_one_digest_some_are_told(folder: Path | None) -> None:
    index = DigestIndex(folder, LARGE, SMALL)
    key = np.array([int.from_bytes(digest(1)[:8], "little")], "<u8")
    for number in range(50):
        index.add(segment(number), CLAIM, np.array([3]), key)

    found = index.find(digest(1))

    assert len(found) == CANDIDATES
    assert found[0] == (segment(49), 3, CLAIM)
    index.close()


@pytest.mark.parametrize("damage", [b"", b"x" * 10, b"MOORINDX" + bytes(100)])
def test_files_that_are_not_whole_are_thrown_away(tmp_path: Path, damage: bytes) -> None:
    index = DigestIndex(tmp_path, LARGE, SMALL)
    enter(index, 1, 10)
    index.close()
    (path,) = tmp_path.glob("*.run")
    path.write_bytes(damage)

    again = DigestIndex(tmp_path, LARGE, SMALL)

    assert again.find(digest(1000)) == []
    assert again.unknown([segment(1)]) == [segment(1)]
    assert not path.exists()
    again.close()


def test_two_at_once_keep_out_of_each_others_way(tmp_path: Path) -> None:
    first = DigestIndex(tmp_path, LARGE, SMALL)
    second = DigestIndex(tmp_path, LARGE, SMALL)
    enter(first, 1, 30)
    enter(second, 2, 30)

    assert_found(first, 1, 30)
    assert_found(second, 2, 30)
    second.close()
    first.close()
    again = DigestIndex(tmp_path, LARGE, SMALL)
    assert_found(again, 1, 30)
    again.close()


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    index = DigestIndex(tmp_path / "file" / "index", LARGE, SMALL)
    enter(index, 1, 30)
    assert_found(index, 1, 30)
    index.close()

    other = tmp_path / "removed"
    index = DigestIndex(other, LARGE, SMALL)
    for path in other.iterdir():
        path.unlink()
    other.rmdir()
    for number in range(10):
        enter(index, number, 10)
    index.close()
