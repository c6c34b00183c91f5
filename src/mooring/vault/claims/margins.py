"""The margins of claims and collection, in one place; docs/formats/vault.md lists them."""

from __future__ import annotations

CLAIM_RENEWED_SECONDS = 5 * 60.0
"""How often a running writer or reader renews its claim."""

CLAIM_EXPIRES_MS = 60 * 60 * 1000
"""A claim not renewed for that long is taken for that of a dead process."""

EXCLUSIVE_EXPIRES_MS = 15 * 60 * 1000
"""The same for collectors and for who copies into a vault, who keep each other waiting."""

TOMBSTONE_KEPT_MS = 10 * 60 * 1000
"""Longer than any collector takes from its first look at the tombstones to its second."""

SWEEP_AFTER_MS = 60 * 60 * 1000
"""Unfinished files of dead processes are removed after that time."""

PUNCH_AT_LEAST = 128 * 1024
"""Less than that is left in a segment until it is dead as a whole."""

REWRITE_AT_LEAST = 256 * 1024
"""Less is not worth a request: it takes a month to pay back what that costs in a bucket."""

REWRITE_PART = 0.5
"""So much of a segment must be dead: then a byte written gives back at least one."""
