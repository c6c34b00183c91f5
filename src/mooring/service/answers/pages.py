"""Page tokens: opaque to clients, and independent of the catalog's size."""

from __future__ import annotations

import base64
import binascii

from mooring.model.errors import InvalidInputException

SIZE = 100
"""Entries of a page."""


def token(position: int | str | None) -> str | None:
    """The token of the page that begins after the position; none after the last page."""
    if position is None:
        return None
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def read_text(page_token: str | None) -> str | None:
    """The position in a token; an empty one is none, for loops begin so.

    Raises InvalidInputException if it is not one of ours.
    """
    if not page_token:
        return None
    try:
        text = base64.b64decode(page_token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise _invalid() from None
    if "\0" in text:
        raise _invalid()  # PostgreSQL would not take it
    return text


def read_number(page_token: str | None) -> int | None:
    """The position in a token, where it is a number."""
    text = read_text(page_token)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _invalid()
    return int(text)


def _invalid() -> InvalidInputException:
    return InvalidInputException(
        "The page token is invalid. Use the nextPageToken of the previous page, unchanged."
    )
