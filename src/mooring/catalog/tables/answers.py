"""Rows of replies given, for clients that ask again."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from mooring.catalog.tables import schema

_table = schema.answers
_FIND = select(_table.c.answer).where(
    _table.c.caller == bindparam("caller"),
    _table.c.invocation_id == bindparam("invocation_id"),
    _table.c.operation == bindparam("operation"),
    _table.c.digest == bindparam("digest"),
)
_FORGET = delete(_table).where(_table.c.created_ms < bindparam("before_ms"))
_REMOVE = delete(_table).where(
    _table.c.caller == bindparam("caller"),
    _table.c.invocation_id == bindparam("invocation_id"),
)
_ADD = insert(_table)


class Answers:
    """Answers by caller and invocation id (the header `amz-sdk-invocation-id`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, caller: str, invocation_id: str, operation: str, digest: str) -> str | None:
        """The answer to the same request, as it was remembered."""
        asked = {
            "caller": caller,
            "invocation_id": invocation_id,
            "operation": operation,
            "digest": digest,
        }
        return self._connection.execute(_FIND, asked).scalar()

    def remember(
        self,
        caller: str,
        invocation_id: str,
        *,
        operation: str,
        digest: str,
        answer: str,
        now_ms: int,
        forget_before_ms: int,
    ) -> None:
        """Keep an answer, and forget those given before `forget_before_ms`."""
        who = {"caller": caller, "invocation_id": invocation_id}
        self._connection.execute(_FORGET, {"before_ms": forget_before_ms})
        self._connection.execute(_REMOVE, who)
        told = {"operation": operation, "digest": digest, "answer": answer, "created_ms": now_ms}
        self._connection.execute(_ADD, {**who, **told})
