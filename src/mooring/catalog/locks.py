"""Locks that keep writers of one PostgreSQL database apart.

SQLite has one writer at a time.

A transaction that writes locks each row that it looks up, and whatever it decides by holds until it
ends. Where a decision depends on rows that are not there yet, it takes a lock with a name instead.
See docs/design/jobs.md, Locks.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

LOCKS_ROWS = "locks_rows"
"""The option of a connection whose transaction locks what it looks up."""

_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")


_DEADLOCK = "40P01"


def in_each_others_way(error: BaseException) -> bool:
    """Whether PostgreSQL ended a transaction because two waited for each other: try it again."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == _DEADLOCK


def locks_rows(connection: Connection) -> bool:
    """Whether this transaction has to lock the rows that it decides by."""
    return bool(connection.get_execution_options().get(LOCKS_ROWS))


def alone(connection: Connection, what: str) -> None:
    """Wait until no other transaction has the lock of that name; ours is held until the end."""
    if locks_rows(connection):
        connection.execute(_ALONE, {"what": what})
