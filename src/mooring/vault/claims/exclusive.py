"""Keeps collectors away from a vault while objects are copied into it.

A collector deletes segments that nothing named when it looked; a segment that is copied in has
the name that it always had, so a slow collector could delete the copy. Both make a claim first
and look for the other's then: at least one of them sees the other. The collector gives way. Two
who copy must not meet either: the slower one could put an older state of a segment in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import ObjectNotFoundError, VaultBusyError
from mooring.model.ids import Ids
from mooring.vault.claims.claim import Claim, Purpose, decode_claim, expires_ms
from mooring.vault.format.cipher import Cipher
from mooring.vault.format.layout import CLAIMS, claim_name
from mooring.vault.store.interface import Store

WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.2


@contextmanager
def without_collectors(store: Store, clock: Clock, ids: Ids, cipher: Cipher) -> Iterator[Claim]:
    """Give the claim, to be renewed; nobody collects or copies as long as it is there.

    Raises VaultBusyError if somebody copies already, or a collection does not end in a minute.
    """
    claim = Claim(store, clock, cipher, ids.new_id().replace("-", ""), Purpose.COPY, "")
    try:
        began = clock.monotonic()
        while other := _other(store, clock, cipher, claim.id):
            # Two who copy must not wait for each other; for a collector it is worth it.
            if other == Purpose.COPY or clock.monotonic() - began > WAIT_SECONDS:
                copying = other == Purpose.COPY
                what = "somebody copies into" if copying else "a collection runs on"
                raise VaultBusyError(
                    f"{what} the vault {store.description}, or was killed less than "
                    f"{counted(expires_ms(other) // 60000, 'minute')} ago: try again later"
                )
            clock.sleep(_LOOK_SECONDS)
        yield claim
    finally:
        claim.release()


def _other(store: Store, clock: Clock, cipher: Cipher, own: str) -> str:
    """The purpose of somebody else's claim that stands in the way; empty if there is none."""
    for name in store.names(CLAIMS):
        if name == claim_name(own):
            continue
        with suppress(ObjectNotFoundError):
            found = decode_claim(store.get(name), name.removeprefix(CLAIMS), cipher)
            alive = found.renewed_ms + expires_ms(found.purpose) >= clock.now_ms()
            if found.purpose in (Purpose.COLLECT, Purpose.COPY) and alive:
                return found.purpose
    return ""
