"""Filling a base: the content, its holes, and file systems that refuse direct writes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.images.fill import fill
from mooring.images.pieces import STEPS
from mooring.model.extents import BLOCK_SIZE, Buffer, Extent
from tests.engine.harness import MIB, BytesImage, noise

SIZE = 40 * MIB
LAST = 37 * MIB + BLOCK_SIZE
WHOLE = noise(1, 9 * MIB) + bytes(15 * MIB) + noise(2, LAST - 24 * MIB)
EXTENTS = [Extent(0, 9 * MIB), Extent(12 * MIB, LAST - 12 * MIB)]
"""What is said to hold data is zeros from 12 to 24 MiB."""


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "base", os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(opened, SIZE)
    yield opened
    os.close(opened)


def image() -> BytesImage:
    return BytesImage(WHOLE, EXTENTS)


def held(fd: int) -> bytes:
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT)
    return os.pread(fd, SIZE, 0)


def test_the_file_holds_the_image_with_its_holes(fd: int) -> None:
    told: list[int] = []

    fill(fd, image(), told.append)

    assert held(fd) == WHOLE + bytes(SIZE - LAST)
    assert told == sorted(told)
    assert told[-1] == sum(extent.length for extent in EXTENTS)
    # Neither what is left out nor a whole piece of zeros takes room.
    assert os.fstat(fd).st_blocks * 512 <= 9 * MIB + LAST - 24 * MIB + STEPS.piece


def test_zeros_within_a_piece_take_no_room(fd: int) -> None:
    hole = 256 * 1024
    whole = noise(3, MIB) + bytes(hole) + noise(4, MIB) + bytes(hole)

    fill(fd, BytesImage(whole, [Extent(0, len(whole))]), lambda done: None)

    assert held(fd) == whole + bytes(SIZE - len(whole))
    assert os.fstat(fd).st_blocks * 512 <= 2 * MIB + hole // 2


def test_the_file_is_left_as_it_was_opened(fd: int) -> None:
    fill(fd, image(), lambda done: None)
    assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT


def test_what_lies_before_the_start_is_left_out(fd: int) -> None:
    fill(fd, image(), lambda done: None, start=26 * MIB)
    assert held(fd) == bytes(26 * MIB) + WHOLE[26 * MIB :] + bytes(SIZE - LAST)


@pytest.mark.parametrize("when", ["setting", "writing"])
def test_a_file_system_without_direct_writes(
    fd: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, write = fcntl.fcntl, os.pwrite
    refused: list[str] = []

    def refuse(what: str) -> OSError:
        refused.append(what)
        return OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def set_flags(fd: int, command: int, flags: int = 0) -> int:
        if when == "setting" and command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise refuse("setting")
        return control(fd, command, flags)

    def write_cached(fd: int, data: Buffer, offset: int) -> int:
        if control(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise refuse("writing")
        return write(fd, data, offset)

    monkeypatch.setattr(fcntl, "fcntl", set_flags)
    monkeypatch.setattr(os, "pwrite", write_cached)
    fill(fd, image(), lambda done: None)

    assert set(refused) == {when}
    assert held(fd) == WHOLE + bytes(SIZE - LAST)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EINVAL])
def test_what_fails_for_good_is_told(fd: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_fd: int, _data: Buffer, _offset: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(OSError, match=os.strerror(number)):
        fill(fd, image(), lambda done: None)
