"""Layers as files, and as what daemons open: what each store promises."""

from __future__ import annotations

import os
from contextlib import closing, suppress

import pytest

from mooring.model.errors import LayerDamagedError
from mooring.model.extents import Extent
from tests.engine.harness import BytesImage, noise
from tests.engine.stores.conftest import Place

MIB = 1024 * 1024
SIZE = 16 * MIB


def test_a_new_layer_reads_as_zeros(place: Place) -> None:
    with closing(place.store.create(place.folder / "layer", SIZE)) as file:
        assert file.size() == SIZE
        assert file.read(SIZE - 4096, 4096) == bytes(4096)
        assert file.read(SIZE, 4096) == b""
        with suppress(OSError):
            assert file.seek(0, os.SEEK_DATA) >= SIZE
    assert place.store.size(place.folder / "layer") == SIZE


def test_what_is_written_is_read(place: Place) -> None:
    path = place.folder / "layer"
    with closing(place.store.create(path, SIZE)) as file:
        for offset in (0, 4 * MIB - 4096, 4 * MIB, 9 * MIB + 512):
            file.write(offset, noise(offset, 8192))
        file.sync()
    with closing(place.store.open(path)) as file:
        for offset in (0, 4 * MIB, 9 * MIB + 512):
            assert file.read(offset, 4096) == noise(offset, 8192)[:4096]
        whole = memoryview(bytearray(12288))
        file.read_parts([(whole[:8192], 4 * MIB), (whole[8192:], 9 * MIB + 512)])
        assert bytes(whole) == noise(4 * MIB, 8192) + noise(9 * MIB + 512, 8192)[:4096]
        # Right behind what was written, where a file or an object may end.
        assert file.read(9 * MIB + 512 + 8192, 8) == bytes(8)
        assert file.read(14 * MIB, 4096) == bytes(4096)
        file.will_need(0, SIZE)
        file.was_read()


def test_what_was_written_is_replaced_beside_whoever_has_it_open(place: Place) -> None:
    path = place.folder / "layer"
    with closing(place.store.create(path, SIZE)) as file:
        file.write(0, noise(1, 8192))
        with closing(place.store.open(path, write=True)) as other:
            other.overwrite(512, noise(2, 4096))
        file.write(8192, noise(3, 4096))
        wanted = noise(1, 8192)[:512] + noise(2, 4096) + noise(1, 8192)[4608:] + noise(3, 4096)
        assert file.read(0, 12288) == wanted
        with pytest.raises(LayerDamagedError):
            file.overwrite(SIZE, noise(4, 512))


def test_many_parts_are_read_at_once(place: Place) -> None:
    path = place.folder / "layer"
    places = [block * 3 * 4096 for block in range(300)]
    with closing(place.store.create(path, SIZE)) as file:
        for offset in places:
            file.write(offset, noise(offset, 4096))
        memory = memoryview(bytearray(len(places) * 4096))
        parts = [(memory[n * 4096 : (n + 1) * 4096], at) for n, at in enumerate(places)]
        file.read_parts(parts)
    assert bytes(memory) == b"".join(noise(offset, 4096) for offset in places)


def test_a_layer_that_ends_too_early_is_damaged(place: Place) -> None:
    with (
        closing(place.store.create(place.folder / "layer", MIB)) as file,
        pytest.raises(LayerDamagedError, match="truncated"),
    ):
        file.read_parts([(memoryview(bytearray(8192)), MIB - 4096)])


def test_data_and_holes_are_told_apart(place: Place) -> None:
    with closing(place.store.create(place.folder / "layer", 64 * MIB)) as file:
        file.write(20 * MIB, noise(1, MIB))
        file.sync()
        data = file.seek(0, os.SEEK_DATA)
        assert 0 < data <= 20 * MIB
        assert 21 * MIB <= file.seek(data, os.SEEK_HOLE) <= 24 * MIB
        assert file.seek(0, os.SEEK_HOLE) == 0
        with pytest.raises(OSError, match="No such device or address"):
            file.seek(40 * MIB, os.SEEK_DATA)


def test_a_layer_gets_larger(place: Place) -> None:
    path = place.folder / "layer"
    with closing(place.store.create(path, MIB)) as file:
        file.write(0, noise(1, 4096))
        file.resize(SIZE)
        assert file.size() == SIZE
        assert file.read(SIZE - 4096, 4096) == bytes(4096)
        assert file.read(0, 4096) == noise(1, 4096)
    assert place.store.size(path) == SIZE


def test_a_layer_appears_whole_or_not_at_all(place: Place) -> None:
    path = place.folder / "layer"

    def begin() -> None:
        with place.store.appearing(path, room=SIZE) as file:
            file.resize(MIB)
            file.write(0, noise(1, 4096))
            assert not place.store.exists(path)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        begin()
    assert place.store.names(place.folder) == []

    with place.store.appearing(path, room=SIZE) as file:
        file.resize(MIB)
        file.write(0, noise(2, 4096))
    with closing(place.store.open(path)) as layer:
        assert layer.read(0, 4096) == noise(2, 4096)
        assert layer.size() >= MIB


def test_a_layer_is_filled_from_an_image_that_has_holes(place: Place) -> None:
    whole = bytearray(SIZE)
    whole[4 * MIB : 6 * MIB] = noise(1, 2 * MIB)
    whole[SIZE - 8192 : SIZE - 4096] = noise(2, 4096)
    image = BytesImage(bytes(whole), [Extent(3 * MIB, 4 * MIB), Extent(SIZE - 8192, 8192)])
    told: list[int] = []
    with closing(place.store.create(place.folder / "layer", SIZE)) as file:
        file.fill(image, told.append)
        file.sync()
        assert file.read(0, SIZE) == bytes(whole)
        assert file.seek(0, os.SEEK_DATA) >= 3 * MIB
    assert told == sorted(told)
    assert told[-1] == 4 * MIB + 8192


def test_a_filling_begins_where_it_is_told_to(place: Place) -> None:
    image = BytesImage(noise(1, MIB))
    with closing(place.store.create(place.folder / "layer", MIB)) as file:
        reached: list[int] = []
        file.fill(image, lambda _: None, start=MIB // 2, reached=lambda at, _: reached.append(at))
        file.sync()
        assert file.read(0, MIB) == bytes(MIB // 2) + noise(1, MIB)[MIB // 2 :]
    assert reached[-1] == MIB


def test_an_open_layer_knows_whether_a_name_is_its_own(place: Place) -> None:
    one, other = place.folder / "one", place.folder / "other"
    with closing(place.store.create(one, MIB)) as file:
        assert file.has_name(one)
        assert not file.has_name(other)
        place.store.rename(one, other)
        assert file.has_name(other)
        place.store.create(one, MIB).close()
        assert not file.has_name(one)
        place.store.remove(other)
        assert not file.has_name(other)


def test_an_open_layer_outlives_its_name(place: Place) -> None:
    path = place.folder / "layer"
    with closing(place.store.create(path, MIB)) as file:
        file.write(0, noise(1, 4096))
    with closing(place.store.open(path)) as file:
        place.store.remove_later(path).close()
        place.store.create(place.folder / "other", MIB).close()
        place.store.remove(place.folder / "other")
        place.store.settle()
        assert file.read(0, 4096) == noise(1, 4096)


def test_what_nobody_writes_is_free(place: Place) -> None:
    with place.store.appearing(place.folder / "layer", room=MIB) as file:
        file.write(0, noise(1, 4096))
    assert place.store.writer(place.folder / "layer") is None
    assert place.store.in_use_by(place.folder / "layer") == ""


def test_there_is_room_here(place: Place) -> None:
    place.store.check_room(place.folder, 0)
    place.store.check_room(place.folder, 1)
    place.store.check_possible(place.folder, 1 << 40)
