"""Files appear whole, for their user alone, whatever was there and whoever else writes."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from mooring.files import appearing, rename_new, write_sparse, write_whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_it_takes_the_place_of_another(path: Path, durable: bool) -> None:
    path.write_text("longer than what comes")
    write_whole(path, "new", durable=durable)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["file"]


def test_it_is_not_seen_before_it_is_whole(path: Path) -> None:
    with appearing(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"


def test_a_failure_leaves_what_was_there(path: Path) -> None:
    path.write_text("old")
    with pytest.raises(TypeError), appearing(path) as file:
        file.write("no bytes")  # type: ignore[call-overload]
    assert path.read_text() == "old"
    assert names(path) == ["file"]


def test_what_a_crash_left_is_removed(path: Path) -> None:
    left = path.with_name("other.writing")
    left.write_text("much longer than what comes")
    left.chmod(0o644)
    write_whole(path, b"new", writing=left)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == ["file"]


def test_a_link_is_not_followed(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("somebody's")
    path.with_name("file.new").symlink_to(victim)
    with pytest.raises(OSError, match=r"file\.new"):
        write_whole(path, "new")
    assert victim.read_text() == "somebody's"


def test_of_several_who_write_each_writes_all(path: Path) -> None:
    contents = [letter * 100_000 for letter in "abcdef"]
    threads = [threading.Thread(target=write_whole, args=(path, one)) for one in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in contents
    assert names(path) == ["file"]


def test_zeros_stay_holes(path: Path) -> None:
    piece = 64 * 1024
    data = b"a" * 100 + bytes(piece - 100) + bytes(3 * piece) + b"b" * piece + bytes(17)
    with path.open("wb") as file:
        file.truncate(2 * piece + len(data))
        write_sparse(file.fileno(), 2 * piece, data)
    assert path.read_bytes() == bytes(2 * piece) + data
    assert path.stat().st_blocks * 512 <= 2 * piece


@pytest.mark.parametrize("knows", ["links", "renames", "neither"])
def test_a_name_that_nothing_has(
    knows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if knows != "links":
        monkeypatch.setattr(os, "link", refuse)
    if knows == "neither":
        monkeypatch.setattr("mooring.files._rename_no_replace", lambda *_: errno.EINVAL)
    old, taken, free = tmp_path / "old", tmp_path / "taken", tmp_path / "free"
    old.write_text("mine")
    taken.symlink_to("nowhere")

    assert not rename_new(old, taken)
    assert (old.read_text(), taken.is_symlink()) == ("mine", True)
    assert rename_new(old, free)
    assert free.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "taken"]
