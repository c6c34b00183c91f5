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
from mooring.vault.claims.claim import Claim, ClaimRecord, Purpose
from mooring.vault.claims.claims import Claims
from mooring.vault.format.layout import claim_name

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
        while (other := _other(claims, claim.id)) is not None:
            # Two copiers must not wait for each other; for a collector it is worth it.
            if other.purpose == Purpose.COPY or clock.monotonic() - began > patience:
                raise _busy(claims, other)
            clock.sleep(_LOOK_SECONDS)
        yield claim
    finally:
        claim.release()


def _busy(claims: Claims, other: ClaimRecord) -> VaultBusyError:
    copying = other.purpose == Purpose.COPY
    what = "somebody is copying into" if copying else "a collection is running on"
    text = f"{what} the vault {claims.store.description}, or was killed"
    if claims.is_ahead(other):
        return VaultBusyError(
            f"{text}, on a host whose clock is ahead of this one's. If nobody is, delete the "
            f"object {claim_name(other.id)}; a running server does in an hour or two"
        )
    minutes = counted(claims.expires_ms(other.purpose) // 60000, "minute")
    return VaultBusyError(f"{text} less than {minutes} ago: try again later")


def _other(claims: Claims, own: str) -> ClaimRecord | None:
    """Somebody else's claim that stands in the way."""
    for claim_id in claims.ids(besides=own):
        with suppress(ObjectNotFoundError):
            found = claims.read(claim_id)
            if found.purpose in (Purpose.COLLECT, Purpose.COPY) and not claims.is_dead(found):
                return found
    return None
