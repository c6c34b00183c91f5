"""When keys expire: the time written beside them, read and compared."""

from __future__ import annotations

import math
from datetime import datetime

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.model.clock import Clock

ENDLESS = math.inf


def seconds_left(written: object, clock: Clock) -> float:
    """For how long keys are valid that expire at the moment written; negative if they have expired.

    Understood are ISO 8601 (RFC 3339) and the form of mail and HTTP (RFC 5322), with a time zone.
    Raises CommandError for anything else, in aws's words where it has some.
    """
    if not isinstance(written, str):
        kind = type(written).__name__
        raise CommandError(f"Parser must be a string or character stream, not {kind}")
    if not written.strip():
        raise CommandError(f"String does not contain a date: {written}")
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            moment = parsedate_to_datetime(written)
        except ValueError:
            raise CommandError(f"Unknown string format: {written}") from None
    if moment.tzinfo is None:
        raise CommandError(f"{written} has no time zone: write it as {written}Z if it is in UTC")
    return moment.timestamp() - clock.now_ms() / 1000


def refuse_expired(left: float) -> None:
    """Raises CommandError, in aws's words, if less than no time is left."""
    if left < 0:
        raise CommandError(
            "Credentials were refreshed, but the refreshed credentials are still expired."
        )
