"""Claims: what is running on the vault, and what that protects from collection."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import DamageError, MooringError, VaultError
from mooring.vault.claims.margins import Margins
from mooring.vault.format import envelope
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.layout import claim_name
from mooring.vault.store.interface import Store, exists

_LENGTH = struct.Struct("<I")
_FIELDS = {"id": str, "purpose": str, "snapshot": str, "renewed_ms": int, "held": str}


class Purpose(StrEnum):
    """Why something is claimed."""

    WRITE = "write"
    READ = "read"
    COLLECT = "collect"
    COPY = "copy"


def expires_ms(purpose: str, margins: Margins) -> int:
    """How long a claim that is not renewed lasts."""
    exclusive = purpose in (Purpose.COLLECT, Purpose.COPY)
    return margins.exclusive_expires_ms if exclusive else margins.claim_expires_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """A claim as it is stored.

    `snapshot` is what it is made for. `root` is a whole root object that it keeps alive, and `held`
    the id of its snapshot: a writer's parent, a reader's snapshot. `shares` are the ids of the
    claims under which segments were written that it keeps alive.
    """

    id: str
    purpose: str
    snapshot: str
    renewed_ms: int
    held: str
    root: bytes
    shares: frozenset[str] = frozenset()


class Claim:
    """A claim in the hands of its owner; see `Claims`. Safe to use from any thread."""

    def __init__(
        self, store: Store, clock: Clock, cipher: Cipher, margins: Margins, record: ClaimRecord
    ) -> None:
        """Stores it. Raises DiskFullError, StoreError."""
        self.id = record.id
        self._store = store
        self._clock = clock
        self._cipher = cipher
        self._margins = margins
        self._record = record
        self._renewed = 0.0
        self._lock = threading.Lock()
        self._put(record.shares)

    def renew(self) -> None:
        """Renew the claim when it is due. Cheap enough to be called for every block."""
        if self._clock.monotonic() - self._renewed >= self._margins.claim_renewed_seconds:
            with self._lock:
                self.check()
                self._put(self._record.shares)

    def share(self, claim_ids: Iterable[str]) -> None:
        """Keep what was written under other claims, too. Raises as `renew` does."""
        with self._lock:
            self.check()
            self._put(self._record.shares.union(claim_ids))

    def check(self) -> None:
        """Raises VaultError if the collector took this process for dead."""
        if not exists(self._store, claim_name(self.id)):
            purpose, snapshot = self._record.purpose, self._record.snapshot
            minutes = counted(expires_ms(purpose, self._margins) // 60000, "minute")
            raise VaultError(
                f"the claim for {f'snapshot {snapshot}' if snapshot else f'a {purpose}'} expired: "
                f"nothing was heard of its process for {minutes}; start it again"
            )

    def release(self) -> None:
        """Give up the claim; a failure is left to its expiry."""
        with suppress(MooringError):
            self._store.delete(claim_name(self.id))

    def _put(self, shares: frozenset[str]) -> None:
        record = replace(self._record, renewed_ms=self._clock.now_ms(), shares=shares)
        name = claim_name(self.id)
        self._store.put(name, encode_claim(record, self._cipher))
        self._record = record
        self._renewed = self._clock.monotonic()


def encode_claim(record: ClaimRecord, cipher: Cipher) -> bytes:
    """The claim as an object of the vault."""
    fields = {
        "id": record.id,
        "purpose": record.purpose,
        "snapshot": record.snapshot,
        "held": record.held,
        "renewed_ms": record.renewed_ms,
        "shares": sorted(record.shares),
    }
    text = json.dumps(fields).encode()
    body = _LENGTH.pack(len(text)) + text + record.root
    return envelope.wrap(envelope.CLAIM, cipher.seal_object(_place(record.id), body))


def decode_claim(data: bytes, claim_id: str, cipher: Cipher) -> ClaimRecord:
    """Read a claim. Raises DamageError, VaultError."""
    what = f"the claim {claim_id}"
    sealed = envelope.unwrap(envelope.CLAIM, data, what)
    body = cipher.open_object(_place(claim_id), sealed, what)
    if len(body) < _LENGTH.size:
        raise DamageError(f"{what} is damaged: it is too short")
    (length,) = _LENGTH.unpack_from(body)
    text = envelope.read_fields(body[_LENGTH.size : _LENGTH.size + length], what, _FIELDS)
    if text["id"] != claim_id:
        # Whoever believed it would let go of another's claim.
        raise DamageError(f"{what} is damaged: it is that of {text['id']!r:.40}")
    shares = envelope.texts(text.get("shares", []), what)
    try:
        for one in (claim_id, *shares):
            bytes.fromhex(one)
    except ValueError as error:
        raise DamageError(f"{what} is damaged: it names something that is not a claim") from error
    return ClaimRecord(
        id=claim_id,
        purpose=text["purpose"],
        snapshot=text["snapshot"],
        renewed_ms=text["renewed_ms"],
        held=text["held"],
        root=body[_LENGTH.size + length :],
        shares=frozenset(shares),
    )


def _place(claim_id: str) -> bytes:
    return envelope.CLAIM + claim_id.encode()
