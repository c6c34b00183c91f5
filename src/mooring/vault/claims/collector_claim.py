"""What a collection may do, and its claim."""

from __future__ import annotations

from collections.abc import Callable

from mooring.model.errors import DiskFullError
from mooring.vault.claims.claim import Claim


class ClaimedLateError(Exception):
    """There is room for the claim only now: what was found out before must be found out again."""


class CollectorClaim:
    """The right to delete; collect.py says what it is for. On a full disk there is no room for it.

    `dry_run`: nothing is to be deleted, and no claim is made.
    """

    def __init__(self, make: Callable[[], Claim], dry_run: bool) -> None:
        """`make` makes a claim, or raises DiskFullError."""
        self._make = make
        self.dry_run = dry_run
        self._claim = None if dry_run else self._try()

    @property
    def is_made(self) -> bool:
        """Whether there was room for the claim; then it may be asked by several threads at once."""
        return self._claim is not None

    def keep(self) -> None:
        """To be called again and again. Raises VaultError if the claim is gone."""
        if self._claim is not None:
            self._claim.renew()

    def may_delete(self) -> bool:
        """To be asked right before each deletion. False in a dry run.

        Raises VaultError if the claim is gone, ClaimedLateError if it could be made only now.
        """
        if self.dry_run:
            return False
        if self._claim is not None:
            self._claim.renew()
            self._claim.check()
            return True
        # As long as there is no room for our claim, there is none for that of who copies or shares.
        self._claim = self._try()
        if self._claim is not None:
            raise ClaimedLateError
        return True

    def release(self) -> None:
        if self._claim is not None:
            self._claim.release()

    def _try(self) -> Claim | None:
        try:
            return self._make()
        except DiskFullError:
            return None
