"""Checks all stored bytes of a vault without its key.

What each object must be is told by the object itself: small ones end in their digest, and a
segment's table, which its name is the digest of, has the digests of all stored frames. Only
whether an object is missing cannot be told so: for that the maps have to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mooring.model.errors import DamageError, ObjectNotFoundError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format import envelope
from mooring.vault.format.layout import (
    CLAIMS,
    COPIED_NAME,
    DELETED,
    HEADER_NAME,
    KEY_NAME,
    ROOTS,
    SEGMENTS,
    segment_id,
)
from mooring.vault.format.segment_table import GONE
from mooring.vault.reading.frames import Frames
from mooring.vault.store.interface import Store

_SMALL = {
    ROOTS: envelope.ROOT,
    DELETED: envelope.ROOT,
    CLAIMS: envelope.CLAIM,
    HEADER_NAME: envelope.HEADER,
    KEY_NAME: envelope.KEY,
    COPIED_NAME: envelope.COPIED,
}


@dataclass(slots=True)
class Scrub:
    """What was found. `problems`: an object's name and what is wrong with it.

    `punched` frames have lost bytes; whether a snapshot needed them, only the key tells.
    """

    objects: int = 0
    frames: int = 0
    stored_bytes: int = 0
    punched: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def scrub(store: Store) -> Scrub:
    """Read every byte. Raises StoreError."""
    found = Scrub()
    frames = Frames(store)
    for name in store.names(""):
        try:
            if name.startswith(SEGMENTS):
                for problem in _segment(store, frames, name, found):
                    found.problems.append((name, problem))
            else:
                _small(store, name, found)
        except ObjectNotFoundError:
            continue  # It was deleted meanwhile.
        except VaultError as error:
            found.problems.append((name, str(error)))
    return found


def _small(store: Store, name: str, found: Scrub) -> None:
    folder, slash, _ = name.partition("/")
    magic = _SMALL.get(folder + slash)
    if magic is None:
        return
    data = store.get(name)
    envelope.unwrap(magic, data, name)
    found.objects += 1
    found.stored_bytes += len(data)


def _segment(store: Store, frames: Frames, name: str, found: Scrub) -> Iterator[str]:
    identity = segment_id(name)
    if identity is None:
        raise DamageError("its name is not that of a segment")
    try:
        table = frames.table(identity)
    except DamageError:
        store.tail(name, 0)  # If it was deleted meanwhile, this raises what says so.
        raise
    found.objects += 1
    for number in range(len(table)):
        found.frames += 1
        try:
            found.stored_bytes += len(frames.stored((identity, number)))
        except DamageError as error:
            entry = frames.table(identity).entry(number)
            if entry.offset == GONE:
                found.punched += 1
                continue
            stored = store.get(name, entry.offset, entry.stored)
            found.stored_bytes += len(stored)
            if _has_hole(stored, entry.offset):
                found.punched += 1
            else:
                yield str(error).partition(", ")[2]


def _has_hole(stored: bytes, offset: int) -> bool:
    """Whether a frame looks punched: what lies in whole blocks of the segment is zeros."""
    low = min(-offset % BLOCK_SIZE, len(stored))
    high = max(low, len(stored) - (offset + len(stored)) % BLOCK_SIZE)
    inner = stored[low:high]
    if inner:
        return not np.frombuffer(inner, np.uint8).any()
    # It shares its only blocks with its neighbours, and they went with it.
    return any(not any(piece) for piece in (stored[:low], stored[high:]) if piece)
