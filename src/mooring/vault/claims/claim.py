"""Claims: what runs on the vault, and what that keeps from being collected."""

from __future__ import annotations

import json
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import MooringError, ObjectNotFoundError, VaultError
from mooring.vault.claims.margins import (
    CLAIM_EXPIRES_MS,
    CLAIM_RENEWED_SECONDS,
    EXCLUSIVE_EXPIRES_MS,
)
from mooring.vault.format import envelope
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.layout import claim_name
from mooring.vault.store.interface import Store

_LENGTH = struct.Struct("<I")


class Purpose(StrEnum):
    """Why something is claimed."""

    WRITE = "write"
    READ = "read"
    COLLECT = "collect"
    COPY = "copy"


def expires_ms(purpose: str) -> int:
    """How long a claim that is not renewed lasts."""
    exclusive = purpose in (Purpose.COLLECT, Purpose.COPY)
    return EXCLUSIVE_EXPIRES_MS if exclusive else CLAIM_EXPIRES_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """A claim as the collector reads it.

    `root` is a whole root object that it keeps alive, `shares` the ids of the claims under which
    segments were written that it keeps alive.
    """

    id: str
    purpose: str
    snapshot: str
    renewed_ms: int
    held: str
    root: bytes
    shares: frozenset[str] = frozenset()


class Claim:
    """A claim in the hands of its owner.

    `snapshot` is what it is made for; `held` is the id of the snapshot whose root object `root`
    is kept alive: a writer's parent, a reader's snapshot. Safe to use from any thread.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        cipher: Cipher,
        claim_id: str,
        purpose: Purpose,
        snapshot: str,
        *,
        held: str = "",
        root: bytes = b"",
    ) -> None:
        self.id = claim_id
        self._store = store
        self._clock = clock
        self._cipher = cipher
        self._fields = {"id": claim_id, "purpose": purpose, "snapshot": snapshot, "held": held}
        self._root = root
        self._shares: frozenset[str] = frozenset()
        self._renewed = 0.0
        self._lock = threading.Lock()
        self._put()

    def renew(self) -> None:
        """Renew the claim when it is due. Cheap enough to be called for every block."""
        if self._clock.monotonic() - self._renewed >= CLAIM_RENEWED_SECONDS:
            with self._lock:
                self.check()
                self._put()

    def share(self, claim_id: str) -> None:
        """Keep what was written under another claim, too. Raises as `renew` does."""
        with self._lock:
            if claim_id not in self._shares:
                self.check()
                self._put(self._shares | {claim_id})

    def check(self) -> None:
        """Raises VaultError if the collector took this process for dead."""
        try:
            self._store.get(claim_name(self.id), 0, 1)
        except ObjectNotFoundError:
            purpose = self._fields["purpose"]
            what = self._fields["snapshot"]
            raise VaultError(
                f"the claim for {f'snapshot {what}' if what else f'a {purpose}'} expired: nothing "
                f"was heard of its process for {counted(expires_ms(purpose) // 60000, 'minute')}; "
                "start it "
                "again"
            ) from None

    def release(self) -> None:
        """Give up the claim; a failure is left to its expiry."""
        with suppress(MooringError):
            self._store.delete(claim_name(self.id))

    def _put(self, shares: frozenset[str] | None = None) -> None:
        shares = self._shares if shares is None else shares
        fields = {**self._fields, "renewed_ms": self._clock.now_ms()}
        text = json.dumps({**fields, "shares": sorted(shares)}).encode()
        body = _LENGTH.pack(len(text)) + text + self._root
        sealed = self._cipher.seal_object(_place(self.id), body)
        self._store.put(claim_name(self.id), envelope.wrap(envelope.CLAIM, sealed))
        self._shares = shares
        self._renewed = self._clock.monotonic()


def decode_claim(data: bytes, claim_id: str, cipher: Cipher) -> ClaimRecord:
    """Read a claim. Raises DamageError, VaultError."""
    what = f"the claim {claim_id}"
    sealed = envelope.unwrap(envelope.CLAIM, data, what)
    body = cipher.open_object(_place(claim_id), sealed, what)
    (length,) = _LENGTH.unpack_from(body)
    text = json.loads(body[_LENGTH.size : _LENGTH.size + length])
    return ClaimRecord(
        id=text["id"],
        purpose=text["purpose"],
        snapshot=text["snapshot"],
        renewed_ms=text["renewed_ms"],
        held=text["held"],
        root=body[_LENGTH.size + length :],
        shares=frozenset(text.get("shares", ())),
    )


def _place(claim_id: str) -> bytes:
    return envelope.CLAIM + claim_id.encode()
