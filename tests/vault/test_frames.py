"""Frames of every level are read; damaged ones are told, lost ones made again."""

from __future__ import annotations

import random
import struct

import pytest
import zstandard
from backports import zstd
from blake3 import blake3

from mooring.model.errors import DamageError
from mooring.vault.format.cipher import Cipher, Clear, Sealed
from mooring.vault.format.frame import (
    FASTEST_LEVEL,
    HIGHEST_LEVEL,
    Codec,
    Kind,
    Packer,
    packed_again,
    unpack,
)

LEVELS = [level for level in range(FASTEST_LEVEL, HIGHEST_LEVEL + 1) if level]
CLAIM = bytes(16)
TEXT = b"".join(b"%d bottles on the wall, " % number for number in range(9000))


@pytest.mark.parametrize("cipher", [Clear(), Sealed(bytes(32))], ids=["clear", "sealed"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_frame_of_any_level_is_read_and_made_again(level: int, cipher: Cipher) -> None:
    frame = Packer(level, cipher, CLAIM).pack(TEXT, Kind.DATA)
    frames = cipher.of_claim(CLAIM)
    stored = bytes(frame.stored)

    codec, packed = frames.open(frame.kind, frame.codec, frame.plain, stored)
    assert len(packed) < len(TEXT)
    assert unpack(codec, frame.plain, packed, frame.content_digest, cipher) == TEXT
    damaged = stored[:20] + bytes(len(stored) - 20)
    assert packed_again(TEXT, frame.codec, frame.stored_digest, frames, damaged) == stored


def test_what_does_not_get_smaller_is_stored_as_it_is() -> None:
    content = random.Random(1).randbytes(100_000)
    for level in LEVELS:
        frame = Packer(level).pack(content, Kind.DATA)
        assert (frame.codec, frame.stored) == (Codec.PLAIN, content)


def by_pieces(content: bytes, level: int) -> bytes:
    """As versions up to 0.1 compressed."""
    compressor = zstd.ZstdCompressor(level=level)
    compressor.set_pledged_input_size(len(content))
    return compressor.compress(content, zstd.ZstdCompressor.FLUSH_FRAME)


def of_unknown_size(content: bytes) -> bytes:
    """As somebody may compress who does not know at the beginning how much it will be."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize("level", LEVELS)
def test_what_older_versions_wrote_can_be_made_again(level: int) -> None:
    stored = by_pieces(TEXT, level)

    assert packed_again(TEXT, Codec.ZSTD, blake3(stored).digest(), Clear(), b"") == stored


def read(stored: bytes, plain: int = len(TEXT)) -> bytes:
    return unpack(Codec.ZSTD, plain, stored, blake3(TEXT).digest(), Clear())


def test_a_frame_that_does_not_tell_its_size_is_read() -> None:
    assert read(of_unknown_size(TEXT)) == TEXT


def test_more_than_was_packed_is_damage() -> None:
    for stored in (by_pieces(TEXT, 1), of_unknown_size(TEXT)):
        with pytest.raises(DamageError):
            read(stored, len(TEXT) - 1)


def test_a_size_that_no_memory_has_is_not_believed() -> None:
    # A frame that says it holds 2**50 bytes, and has one block of a byte a million times.
    huge = struct.pack("<IBBQ", 0xFD2FB528, 0b11000000, 0, 2**50)
    stored = huge + (1 | 1 << 1 | 100_000 << 3).to_bytes(3, "little") + b"x"

    with pytest.raises(DamageError, match=f"it holds {2**50} bytes instead of {len(TEXT)}"):
        read(stored)


@pytest.mark.parametrize("cut", [0, 1, 4, 12, 1000, -1])
def test_what_is_cut_off_is_damage(cut: int) -> None:
    with pytest.raises(DamageError):
        read(by_pieces(TEXT, 1)[:cut])


def test_other_content_is_damage() -> None:
    with pytest.raises(DamageError, match="its content has another digest"):
        read(by_pieces(TEXT[::-1], 1))
