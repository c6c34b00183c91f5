"""The margins of claims and collection, in one place; docs/formats/vault.md lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """All who work on one vault must keep the same: only tests have others."""

    claim_renewed_seconds: float = 5 * 60.0
    """How often a running writer or reader renews its claim."""

    claim_expires_ms: int = 60 * 60 * 1000
    """A claim not renewed for that long is taken for that of a dead process."""

    exclusive_expires_ms: int = 15 * 60 * 1000
    """The same for collectors and for whoever copies into a vault, who keep each other waiting."""

    exclusive_wait_seconds: float = 60.0
    """How long whoever copies into a vault waits for a collection to end."""

    tombstone_kept_ms: int = 10 * 60 * 1000
    """Longer than any collector takes from its first look at the tombstones to its second."""

    sweep_after_ms: int = 60 * 60 * 1000
    """Unfinished files of dead processes are removed after that time."""

    punch_at_least: int = 128 * 1024
    """Less than that is left in a segment until it is dead as a whole."""

    rewrite_at_least: int = 256 * 1024
    """Less is not worth a request: it takes a month to pay back what that costs in a bucket."""

    rewrite_part: float = 0.5
    """So much of a segment must be dead: then a byte written gives back at least one."""


MARGINS = Margins()
