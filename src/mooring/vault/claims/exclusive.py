"""Keeps collectors away from a vault while objects are copied into it.

A collector deletes segments that nothing named when it checked; a segment that is copied in has
the name that it always had, so a slow collector could delete the copy. Both first make a claim and
then look for the other's: at least one of them sees the other. The collector yields. Two copiers
must not meet either: the slower one could put an older state of a segment in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mooring.model.counts import counted
from mooring.model.errors import ObjectNotFoundError, VaultBusyError
from mooring.vault.claims.claim import Claim, Purpose
from mooring.vault.claims.claims import Claims

_LOOK_SECONDS = 0.2


@contextmanager
def without_collectors(claims: Claims) -> Iterator[Claim]:
    """Give the claim, to be renewed; nobody collects or copies as long as it is there.

    Raises VaultBusyError if somebody copies already, or a collection does not end in a minute.
    """
    clock, patience = claims.clock, claims.margins.exclusive_wait_seconds
    claim = claims.to_copy()
    try:
        began = clock.monotonic()
        while other := _other(claims, claim.id):
            # Two copiers must not wait for each other; for a collector it is worth it.
            if other == Purpose.COPY or clock.monotonic() - began > patience:
                copying = other == Purpose.COPY
                what = "somebody is copying into" if copying else "a collection is running on"
                raise VaultBusyError(
                    f"{what} the vault {claims.store.description}, or was killed less than "
                    f"{counted(claims.expires_ms(other) // 60000, 'minute')} ago: try again later"
                )
            clock.sleep(_LOOK_SECONDS)
        yield claim
    finally:
        claim.release()


def _other(claims: Claims, own: str) -> str:
    """The purpose of somebody else's claim that stands in the way; empty if there is none."""
    for claim_id in claims.ids(besides=own):
        with suppress(ObjectNotFoundError):
            found = claims.read(claim_id)
            if found.purpose in (Purpose.COLLECT, Purpose.COPY) and not claims.is_dead(found):
                return found.purpose
    return ""
