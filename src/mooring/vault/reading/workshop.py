"""What all who work on one open vault have in common."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from mooring.model.clock import Clock
from mooring.vault.claims.claims import Claims
from mooring.vault.format.cipher import Cipher
from mooring.vault.reading.frames import Frames
from mooring.vault.reading.reachable import Walk
from mooring.vault.reading.roots import Roots
from mooring.vault.store.abreast import Abreast
from mooring.vault.store.interface import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Safe to use from any thread. `workers` compress and decode; `walk` remembers what it walked.

    `abreast` is for requests that wait for the store.

    The store, its claims, its frames and its roots are those of one place.
    """

    store: Store
    clock: Clock
    claims: Claims
    frames: Frames
    roots: Roots
    walk: Walk
    workers: Executor
    abreast: Abreast

    @property
    def cipher(self) -> Cipher:
        """What seals and opens the content."""
        return self.frames.cipher
