"""Copies of whole files: the same bytes and holes, wherever they lie."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from mooring.host.many_requests import ManyRequests, RequestError, Requests
from mooring.host.pace import Rests
from mooring.images.whole_file import PIECE, copy_whole
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE

MIB = 1024 * 1024
SIZE = 64 * MIB


def source(folder: Path, size: int) -> tuple[Path, bytes]:
    """A file with holes, one long piece, and many short ones; and what it holds."""
    chance = random.Random(size)
    whole = bytearray(size)
    places = [(8 * MIB, PIECE + 5 * BLOCK_SIZE)]
    places += [(20 * MIB + 3 * n * BLOCK_SIZE, BLOCK_SIZE) for n in range(1500)]
    places.append((size - 3 * BLOCK_SIZE, 3 * BLOCK_SIZE))
    path = folder / "source"
    with path.open("wb") as file:
        for offset, length in places:
            whole[offset : offset + length] = chance.randbytes(length)
            os.pwrite(file.fileno(), whole[offset : offset + length], offset)
        file.truncate(size)
    return path, bytes(whole)


def copied(folder: Path, path: Path) -> tuple[Path, list[int]]:
    target, told = folder / "target", list[int]()
    with path.open("rb") as source, target.open("wb") as file:
        copy_whole(source.fileno(), file.fileno(), told.append, Rests(SystemClock()))
    return target, told


@pytest.mark.parametrize("size", [SIZE, SIZE - 1234], ids=["blocks", "and a part of one"])
def test_the_copy_is_the_file_and_as_sparse(tmp_path: Path, size: int) -> None:
    path, whole = source(tmp_path, size)

    target, told = copied(tmp_path, path)

    assert target.read_bytes() == whole
    assert target.stat().st_blocks <= path.stat().st_blocks + 2 * BLOCK_SIZE // 512
    assert told == sorted(told)
    assert told[-1] <= PIECE + 5 * BLOCK_SIZE + 1505 * BLOCK_SIZE


@pytest.mark.parametrize("size", [0, 100, BLOCK_SIZE])
def test_a_short_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"x" * size)

    target, _ = copied(tmp_path, path)

    assert target.read_bytes() == b"x" * size


def test_a_file_system_that_refuses_direct_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = source(tmp_path, SIZE)
    run, refused = ManyRequests.run, list[int]()

    def refuse(many: ManyRequests, wanted: list[Requests]) -> None:
        if not refused:
            refused.append(1)
            raise RequestError(errno.EINVAL, 1, 0)
        run(many, wanted)

    monkeypatch.setattr(ManyRequests, "run", refuse)

    target, _ = copied(tmp_path, path)

    assert target.read_bytes() == whole


def test_copying_ends_where_it_is_told_to(tmp_path: Path) -> None:
    path, _ = source(tmp_path, SIZE)

    def end(done: int) -> None:
        raise InterruptedError

    with (
        path.open("rb") as source_file,
        (tmp_path / "target").open("wb") as file,
        pytest.raises(InterruptedError),
    ):
        copy_whole(source_file.fileno(), file.fileno(), end, Rests(SystemClock()))
