"""What lies in many frames is written again: right, in order, within the bound."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES
from mooring.vault.reading.map_reader import MapReader
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from mooring.vault.writing.consolidation import (
    AGAIN_FACTOR,
    CONSOLIDATE_FRAMES,
    SPREAD,
    STRETCH_BYTES,
    Scatter,
    consolidated,
    stretch_limit,
)
from mooring.vault.writing.framing import STRETCH_FRAMES
from tests.vault.conftest import SMALL
from tests.vault.disks import info

PIECES = 2 * STRETCH_FRAMES + 3
SIZE = PIECES * FRAME_BYTES - 5 * BLOCK_SIZE
"""Three stretches; the last piece is not whole."""

LIMIT = 4
SNAPSHOTS = 150


class Counted(Scatter):
    """Frames as a test says."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def _of_page(self, number: int) -> Array | None:
        return None if number else np.array(self.counts)


@pytest.fixture
def vault(memory: MemoryStore, clock: ManualClock) -> Iterator[Vault]:
    with Vault.create_or_open(memory, clock, SMALL) as opened:
        yield opened


def some_extents(rng: random.Random, longest: int) -> list[Extent]:
    """Ascending, not overlapping, sometimes touching, some of them zero."""
    found: list[Extent] = []
    block, end = 0, SIZE // BLOCK_SIZE
    while True:
        block += rng.choice([0, rng.randrange(1, longest)])
        length = rng.choice([1, rng.randrange(1, longest)])
        if block + length > end:
            return found
        found.append(Extent(block * BLOCK_SIZE, length * BLOCK_SIZE, zero=rng.random() < 0.2))
        block += length


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_extents_they_stay_and_the_rest_keeps_to_the_bound(seed: int) -> None:
    rng = random.Random(seed)
    given = some_extents(rng, rng.choice([4, 40, 400]))
    scatter = Counted([rng.choice([1, LIMIT, LIMIT + 1, 99]) for _ in range(PIECES)])

    end = changed = again = 0
    kept = []
    for extent, is_again in consolidated(given, SIZE, scatter, LIMIT):
        assert extent.offset >= end
        assert extent.length > 0
        end = extent.end
        if is_again:
            assert not extent.zero
            piece = extent.offset // FRAME_BYTES
            assert (extent.end - 1) // FRAME_BYTES == piece
            first = piece - piece % STRETCH_FRAMES
            own_limit = stretch_limit(piece // STRETCH_FRAMES, LIMIT)
            assert max(scatter.counts[first : first + STRETCH_FRAMES]) > own_limit
            assert scatter.counts[piece] > own_limit // 2
            again += extent.length
        else:
            kept.append(extent)
            changed += 0 if extent.zero else extent.length
    assert kept == given
    assert end <= SIZE
    assert again < AGAIN_FACTOR * changed + STRETCH_BYTES


def test_a_scattered_piece_is_filled_on_both_sides() -> None:
    scatter = Counted([9] + [1] * (PIECES - 1))
    first, second = (Extent(block * BLOCK_SIZE, BLOCK_SIZE) for block in (7, 90))

    found = list(consolidated([first, second], SIZE, scatter, LIMIT))

    assert found == [
        (Extent(0, first.offset), True),
        (first, False),
        (Extent(first.end, second.offset - first.end), True),
        (second, False),
        (Extent(second.end, FRAME_BYTES - second.end), True),
    ]


def test_scattered_neighbours_are_filled_too_and_others_are_not() -> None:
    others = [9] * (PIECES - STRETCH_FRAMES)
    scatter = Counted([1, 4, 1, 4, 9] + [1] * (STRETCH_FRAMES - 5) + others)
    changed = Extent(2 * FRAME_BYTES, BLOCK_SIZE)

    found = list(consolidated([changed], SIZE, scatter, LIMIT))

    whole = [(Extent(piece * FRAME_BYTES, FRAME_BYTES), True) for piece in (1, 3, 4)]
    assert found == [whole[0], (changed, False), *whole[1:]]


def test_limits_differ_around_the_mean() -> None:
    limits = [stretch_limit(number, 64) for number in range(1000)]
    assert min(limits) == 64 * (1 - SPREAD)
    assert max(limits) == 64 * (1 + SPREAD)
    assert abs(sum(limits) / 1000 - 64) < 1


def test_many_snapshots_keep_their_content_and_few_frames(vault: Vault) -> None:
    rng = random.Random(3)
    blocks = SIZE // BLOCK_SIZE
    disk = bytearray(rng.randbytes(SIZE))
    with vault.begin(info("s0", SIZE)) as writer:
        writer.write(0, bytes(disk))
        writer.commit()
    changed = again = 0
    for number in range(1, SNAPSHOTS + 1):
        chosen = sorted(rng.sample(range(blocks), PIECES))
        extents = [Extent(one * BLOCK_SIZE, BLOCK_SIZE, zero=rng.random() < 0.1) for one in chosen]
        for extent in extents:
            new = bytes(BLOCK_SIZE) if extent.zero else rng.randbytes(BLOCK_SIZE)
            disk[extent.offset : extent.end] = new
        this = 0
        with vault.begin(info(f"s{number}", SIZE), f"s{number - 1}") as writer:
            for extent, is_again in writer.consolidated(extents):
                data = bytes(disk[extent.offset : extent.end])
                if extent.zero:
                    writer.zero(extent.offset, extent.length)
                elif is_again:
                    writer.write_again(extent.offset, data)
                    this += extent.length
                else:
                    writer.write(extent.offset, data)
            root = writer.commit()
        data_bytes = sum(one.length for one in extents if not one.zero)
        assert this < AGAIN_FACTOR * data_bytes + STRETCH_BYTES
        # What was written again is not told as changed.
        assert root.statistics.changed_blocks <= len(extents)
        assert root.statistics.changed_blocks * BLOCK_SIZE >= data_bytes
        changed += data_bytes
        again += this
        if number % 10 == 0:
            with vault.open(f"s{number}") as reader:
                assert reader.read(0, SIZE) == disk
    # In the long run a stretch is not written again before it was changed as often as that.
    assert 0 < again <= changed * FRAME_BLOCKS // (CONSOLIDATE_FRAMES * (1 - SPREAD))

    scatter = Scatter(vault.root(f"s{SNAPSHOTS}"), vault._workshop.frames)
    counts = [scatter.frames(piece) for piece in range(PIECES)]
    # Without writing again most pieces would be in more than 80.
    assert max(counts) <= CONSOLIDATE_FRAMES * (1 + SPREAD) + 3


def test_the_count_is_that_of_the_map(vault: Vault) -> None:
    with vault.begin(info("a", SIZE)) as writer:
        writer.write(0, random.Random(1).randbytes(4 * FRAME_BYTES))
        writer.commit()
    with vault.begin(info("b", SIZE), "a") as writer:
        writer.zero(FRAME_BYTES, FRAME_BYTES // 2)
        writer.zero(2 * FRAME_BYTES, FRAME_BYTES)
        for piece in (0, 3):
            writer.write(piece * FRAME_BYTES + 5 * BLOCK_SIZE, b"x" * BLOCK_SIZE)
        root = writer.commit()

    scatter, pages = Scatter(root, vault._workshop.frames), MapReader(root, vault._workshop.frames)
    counts = [scatter.frames(piece) for piece in range(PIECES)]

    assert counts == [2, 1, 0, 2] + [0] * (PIECES - 4)
    for piece, count in enumerate(counts):
        parts = pages.parts(piece * FRAME_BLOCKS, (piece + 1) * FRAME_BLOCKS)
        assert len({part.key for part in parts if part.key is not None}) == count
