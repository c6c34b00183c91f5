"""Frames: up to 512 KiB compressed as one, with digests."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

import zstandard
from blake3 import blake3

from mooring.model.errors import DamageError
from mooring.model.extents import Buffer
from mooring.vault.format.cipher import SEALED, Cipher, Clear, FrameCipher

FASTEST_LEVEL, HIGHEST_LEVEL = -7, 19
"""Those that the settings allow; 0 is none."""

_of_thread = threading.local()


class Kind(IntEnum):
    """What a frame holds."""

    DATA = 0
    PAGE = 1
    DIRECTORY = 2


class Codec(IntEnum):
    """How a frame's content is stored."""

    PLAIN = 0
    ZSTD = 1


@dataclass(frozen=True, slots=True)
class PackedFrame:
    """A frame ready to be appended to a segment. `plain` is its content's length in bytes.

    `content_digest` is that of the content, `stored_digest` that of the bytes in the segment.
    """

    kind: Kind
    codec: int
    plain: int
    stored: Buffer
    content_digest: bytes
    stored_digest: bytes


class Packer:
    """Compresses and seals frames; any number of threads at once, each with its own compressor."""

    def __init__(self, level: int, cipher: Cipher | None = None, claim: bytes = b"") -> None:
        self._level = level
        self._cipher = Clear() if cipher is None else cipher
        self._seal = self._cipher.of_claim(claim).seal
        self._threads = threading.local()

    def for_claim(self, claim: bytes) -> Packer:
        """A packer for the frames that are written under a claim."""
        return Packer(self._level, self._cipher, claim)

    def pack(self, content: Buffer, kind: Kind, digest: bytes | None = None) -> PackedFrame:
        """Compress, or keep as it is what does not get smaller; `digest` if it is known already.

        zstd itself gives up on incompressible data at some GB/s at its fast levels, 128 KiB at a
        time, and decodes what it gave up on as fast as memory is copied: a test of our own before
        it would cost more than it saves.
        """
        compressor = getattr(self._threads, "compressor", None)
        if compressor is None:
            compressor = zstandard.ZstdCompressor(level=self._level)
            self._threads.compressor = compressor
        size = len(content)
        digest = self._cipher.digest(content) if digest is None else digest
        packed = compressor.compress(content)
        smaller = len(packed) < size
        plain_codec = Codec.ZSTD if smaller else Codec.PLAIN
        codec, stored = self._seal(kind, plain_codec, size, packed if smaller else content)
        # What is stored as it is has been digested already.
        is_content = stored is content and isinstance(self._cipher, Clear)
        return PackedFrame(
            kind, codec, size, stored, digest, digest if is_content else blake3(stored).digest()
        )


def packed_again(
    content: bytes, codec: int, stored_digest: bytes, frames: FrameCipher, damaged: bytes
) -> bytes | None:
    """The stored bytes of a frame of data whose content is known; None if they cannot be made.

    They must have the digest: with another version of zstd they may not. `damaged` is what is
    left of them; what was sealed cannot be made again without its first bytes.
    """
    sealed = codec >= SEALED
    base = codec - SEALED if sealed else codec
    packings: Iterable[bytes] = (content,)
    if base == Codec.ZSTD:
        # The default and what is near it first.
        levels = chain(range(1, HIGHEST_LEVEL + 1), range(-1, FASTEST_LEVEL - 1, -1))
        packings = (zstandard.ZstdCompressor(level=level).compress(content) for level in levels)
    for packed in packings:
        stored = frames.seal_again(Kind.DATA, base, len(content), packed, damaged)
        if blake3(stored).digest() == stored_digest:
            return stored
    return None


def unpack(codec: int, plain: int, stored: bytes, content_digest: bytes, cipher: Cipher) -> bytes:
    """Return the content of stored bytes that were checked and opened already.

    Raises DamageError if it is not what was packed.
    """
    if codec == Codec.PLAIN:
        content = stored
    elif codec == Codec.ZSTD:
        content = _decompressed(stored, plain)
        if cipher.digest(content) != content_digest:
            raise DamageError("its content has another digest")
    else:
        raise DamageError(f"its codec {codec} is unknown")
    if len(content) != plain:
        raise DamageError(f"it holds {len(content)} bytes instead of {plain}")
    return content


def _decompressed(stored: bytes, plain: int) -> bytes:
    """Up to `plain` bytes, decoded in one go: piece by piece takes a fifth longer."""
    decompressor = getattr(_of_thread, "decompressor", None)
    if decompressor is None:
        decompressor = _of_thread.decompressor = zstandard.ZstdDecompressor()
    try:
        size = zstandard.frame_content_size(stored)
        if size > plain:
            # Memory for all that a frame claims to hold would be taken before it is decoded.
            raise DamageError(f"it holds {size} bytes instead of {plain}")
        return bytes(decompressor.decompress(stored, max_output_size=plain))
    except zstandard.ZstdError as error:
        raise DamageError(f"its compressed bytes cannot be read: {error}") from error
