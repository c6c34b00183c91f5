"""Seals frames and small objects with AES-256-GCM, or leaves them clear."""

from __future__ import annotations

import os
from typing import Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mooring.model.errors import DamageError
from mooring.model.extents import Buffer

SEALED = 16
"""Added to a frame's codec when it is sealed."""

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

_FRAMES = "mooring vault 1: frames"
_OBJECTS = "mooring vault 1: objects"
_DIGESTS = "mooring vault 1: digests of content"


class FrameCipher(Protocol):
    """Seals and opens the frames of the segments that were written under one claim."""

    def seal(self, kind: int, codec: int, plain: int, stored: Buffer) -> tuple[int, Buffer]:
        """Return the codec to be noted and the bytes to be stored."""
        ...

    def open(self, kind: int, codec: int, plain: int, stored: bytes) -> tuple[int, bytes]:
        """Undo `seal`. Raises DamageError."""
        ...

    def seal_again(self, kind: int, codec: int, plain: int, stored: bytes, damaged: bytes) -> bytes:
        """What `seal` made of the same bytes once, given what is left of it.

        Right only if the nonce at its begin is not damaged: the digest tells. `codec` is that of
        the unsealed bytes.
        """
        ...


class Cipher(Protocol):
    """Any number of threads may use it at once."""

    def digest(self, content: Buffer) -> bytes:
        """The digest of a frame's content."""
        ...

    def of_claim(self, claim: bytes) -> FrameCipher:
        """What seals and opens the frames written under a claim, given by its id."""
        ...

    def seal_object(self, place: bytes, body: bytes) -> bytes:
        """Seal a small object's body for its place: magic and id."""
        ...

    def open_object(self, place: bytes, body: bytes, what: str) -> bytes:
        """Undo `seal_object`. Raises DamageError that names `what`."""
        ...


class Clear:
    """Seals nothing: the cipher, and the frame cipher, of a vault without a key."""

    def digest(self, content: Buffer) -> bytes:
        return blake3(content).digest()

    def of_claim(self, _claim: bytes) -> Clear:
        return self

    def seal(self, _kind: int, codec: int, _plain: int, stored: Buffer) -> tuple[int, Buffer]:
        return codec, stored

    def open(self, _kind: int, codec: int, _plain: int, stored: bytes) -> tuple[int, bytes]:
        return codec, stored

    def seal_again(
        self, _kind: int, _codec: int, _plain: int, stored: bytes, _damaged: bytes
    ) -> bytes:
        return stored

    def seal_object(self, _place: bytes, body: bytes) -> bytes:
        return body

    def open_object(self, _place: bytes, body: bytes, _what: str) -> bytes:
        return body


class Sealed:
    """Seals all with keys derived from the vault's key.

    Nonces are random. Each claim has a key of its own, so that one key seals at most what one
    snapshot takes: 2**28 frames for 16 TiB, at which two equal nonces have a chance of 2**-41.
    """

    def __init__(self, key: bytes) -> None:
        self._frames = blake3(key, derive_key_context=_FRAMES).digest()
        self._objects = AESGCM(blake3(key, derive_key_context=_OBJECTS).digest())
        self._digests = blake3(key, derive_key_context=_DIGESTS).digest()

    def digest(self, content: Buffer) -> bytes:
        # Keyed: an unkeyed one would tell who can guess a content whether it is there.
        return blake3(content, key=self._digests).digest()

    def of_claim(self, claim: bytes) -> SealedFrames:
        return SealedFrames(AESGCM(blake3(claim, key=self._frames).digest()), claim)

    def seal_object(self, place: bytes, body: bytes) -> bytes:
        return _seal(self._objects, body, place)

    def open_object(self, place: bytes, body: bytes, what: str) -> bytes:
        try:
            return _open(self._objects, body, place)
        except InvalidTag:
            raise DamageError(
                f"{what} is not what was sealed with this vault's key: it was altered or replaced"
            ) from None


class SealedFrames:
    """The frame cipher of one claim."""

    def __init__(self, cipher: AESGCM, claim: bytes) -> None:
        self._cipher = cipher
        self._claim = claim

    def seal(self, kind: int, codec: int, plain: int, stored: Buffer) -> tuple[int, Buffer]:
        codec += SEALED
        return codec, _seal(self._cipher, stored, self._place(kind, codec, plain))

    def seal_again(self, kind: int, codec: int, plain: int, stored: bytes, damaged: bytes) -> bytes:
        place = self._place(kind, codec + SEALED, plain)
        nonce = damaged[:NONCE_BYTES].ljust(NONCE_BYTES, b"\0")
        return nonce + self._cipher.encrypt(nonce, stored, place)

    def open(self, kind: int, codec: int, plain: int, stored: bytes) -> tuple[int, bytes]:
        if codec < SEALED:
            raise DamageError("it is not sealed, and everything in this vault must be")
        try:
            content = _open(self._cipher, stored, self._place(kind, codec, plain))
        except InvalidTag:
            raise DamageError("it is not what was sealed with this vault's key") from None
        return codec - SEALED, content

    def _place(self, kind: int, codec: int, plain: int) -> bytes:
        return self._claim + bytes((kind, codec)) + plain.to_bytes(4, "little")


def _seal(cipher: AESGCM, content: Buffer, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, place)


def _open(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise InvalidTag
    view = memoryview(sealed)
    return cipher.decrypt(view[:NONCE_BYTES], view[NONCE_BYTES:], place)
