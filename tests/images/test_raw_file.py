"""Raw files: sparse, exact, durable, and what stands in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.images.pieces import STEPS, data_bytes
from mooring.images.raw_file import write_raw
from mooring.model.errors import StoreError
from mooring.model.extents import BLOCK_SIZE, Extent

SIZE = 64 * 1024 * 1024


class Given:
    """An image of some extents."""

    def __init__(self, *extents: Extent) -> None:
        self._extents = extents
        self.size = SIZE

    def extents(self) -> Iterator[Extent]:
        return iter(self._extents)

    def read(self, offset: int, length: int) -> bytes:
        return b"".join(
            number.to_bytes(8, "big") * (BLOCK_SIZE // 8)
            for number in range(offset // BLOCK_SIZE + 1, (offset + length) // BLOCK_SIZE + 1)
        )

    def close(self) -> None: ...


IMAGE = Given(
    Extent(0, BLOCK_SIZE),
    Extent(BLOCK_SIZE, 4 * BLOCK_SIZE, zero=True),
    Extent(16 * 1024 * 1024, STEPS.piece + BLOCK_SIZE),
    Extent(SIZE - BLOCK_SIZE, BLOCK_SIZE),
)


def test_the_file_is_the_image_and_sparse(tmp_path: Path) -> None:
    told: list[int] = []
    file = tmp_path / "disk.raw"

    write_raw(IMAGE, file, told.append)

    with file.open("rb") as opened:
        data = opened.read()
    assert len(data) == SIZE
    expected = bytearray(SIZE)
    for extent in IMAGE.extents():
        if not extent.zero:
            expected[extent.offset : extent.end] = IMAGE.read(extent.offset, extent.length)
    assert data == expected
    assert file.stat().st_blocks * 512 < SIZE // 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told == sorted(told)
    assert told[-1] == 2 * data_bytes(IMAGE)


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(b"x")

    with pytest.raises(FileExistsError):
        write_raw(Given(), file, lambda _: None)

    assert file.read_bytes() == b"x"


def test_a_file_that_reads_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = os.pread

    def flipped(fd: int, length: int, offset: int) -> bytes:
        data = bytearray(pread(fd, length, offset))
        if offset == SIZE - BLOCK_SIZE:
            data[7] ^= 1
        return bytes(data)

    monkeypatch.setattr("os.pread", flipped)
    with pytest.raises(StoreError, match=f"written to it at byte {SIZE - BLOCK_SIZE}"):
        write_raw(IMAGE, tmp_path / "disk.raw", lambda _: None)
