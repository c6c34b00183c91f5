"""The claims in one store: made, listed, read."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from mooring.model.clock import Clock
from mooring.model.errors import DamageError, ObjectNotFoundError
from mooring.model.ids import Ids
from mooring.vault.claims.claim import Claim, ClaimRecord, Purpose, decode_claim, expires_ms
from mooring.vault.claims.margins import MARGINS, Margins
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.layout import CLAIMS, claim_name
from mooring.vault.store.abreast import Abreast
from mooring.vault.store.interface import Store


class Claims:
    """Makes each claim under an id of its own. Safe to use from any thread."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, cipher: Cipher, margins: Margins = MARGINS
    ) -> None:
        self.store = store
        self.clock = clock
        self.margins = margins
        self._ids = ids
        self._cipher = cipher
        self._ahead: dict[str, tuple[int, float]] = {}
        """When claims from the future were first seen as they are, by the steady clock."""
        self._lock = threading.Lock()

    def beside(self, store: Store) -> Claims:
        """Those in another store with the same vault."""
        return Claims(store, self.clock, self._ids, self._cipher, self.margins)

    def to_write(self, snapshot: str, parent: str | None = None, root: bytes = b"") -> Claim:
        """The claim of a writer; `root` is its parent's. Raises DiskFullError, StoreError."""
        return self._make(Purpose.WRITE, snapshot, parent or "", root)

    def to_read(self, snapshot: str, root: bytes) -> Claim:
        """The claim of a reader; `root` is its snapshot's. Raises as `to_write`."""
        return self._make(Purpose.READ, snapshot, snapshot, root)

    def to_collect(self) -> Claim:
        """The claim of a collection. Raises as `to_write`."""
        return self._make(Purpose.COLLECT)

    def to_copy(self) -> Claim:
        """The claim of whoever copies objects into the store. Raises as `to_write`."""
        return self._make(Purpose.COPY)

    def ids(self, *, besides: str = "") -> Iterator[str]:
        """The ids of the claims that there are, but for that one."""
        own = claim_name(besides)
        return (name.removeprefix(CLAIMS) for name in self.store.names(CLAIMS) if name != own)

    def read(self, claim_id: str) -> ClaimRecord:
        """Raises ObjectNotFoundError if it is gone, DamageError, VaultError."""
        return decode_claim(self.store.get(claim_name(claim_id)), claim_id, self._cipher)

    def records(
        self, claim_ids: Iterable[str], abreast: Abreast
    ) -> Iterator[tuple[str, ClaimRecord | DamageError]]:
        """Yield the claims, read side by side, or what is wrong with one; not those that are gone.

        Raises VaultError for one of another format.
        """

        def read(claim_id: str) -> tuple[str, ClaimRecord | DamageError | None]:
            try:
                return claim_id, self.read(claim_id)
            except DamageError as error:
                return claim_id, error
            except ObjectNotFoundError:
                return claim_id, None

        for claim_id, found in abreast.map(read, claim_ids):
            if found is not None:
                yield claim_id, found

    def is_dead(self, record: ClaimRecord) -> bool:
        """Whether nothing was heard of its process for too long.

        The clock of its host may be ahead, by years: such a claim is dead once it has been seen
        unchanged for as long as it lasts.
        """
        lasts = self.expires_ms(record.purpose)
        if not self.is_ahead(record):
            return record.renewed_ms + lasts < self.clock.now_ms()
        now = self.clock.monotonic()
        with self._lock:
            # Those that are gone by now are not asked for again.
            oldest = now - 2 * self.margins.claim_expires_ms / 1000
            self._ahead = {one: seen for one, seen in self._ahead.items() if seen[1] > oldest}
            renewed_ms, since = self._ahead.get(record.id, (record.renewed_ms, now))
            if renewed_ms != record.renewed_ms:
                since = now
            self._ahead[record.id] = record.renewed_ms, since
        return now - since > lasts / 1000

    def is_ahead(self, record: ClaimRecord) -> bool:
        """Whether it was renewed at a time that is yet to come."""
        return record.renewed_ms > self.clock.now_ms()

    def expires_ms(self, purpose: str) -> int:
        """How long a claim for that lasts if it is not renewed."""
        return expires_ms(purpose, self.margins)

    def _make(
        self, purpose: Purpose, snapshot: str = "", held: str = "", root: bytes = b""
    ) -> Claim:
        claim_id = self._ids.new_id().replace("-", "")
        record = ClaimRecord(
            id=claim_id,
            purpose=purpose,
            snapshot=snapshot,
            renewed_ms=self.clock.now_ms(),
            held=held,
            root=root,
        )
        return Claim(self.store, self.clock, self._cipher, self.margins, record)
