"""Rows of answers given, for clients that ask again."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from mooring.catalog import schema


class Answers:
    """Answers by caller and invocation id (the header `amz-sdk-invocation-id`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, caller: str, invocation_id: str, operation: str, digest: str) -> str | None:
        """The answer to the same request, as it was remembered."""
        table = schema.answers
        return self._connection.execute(
            select(table.c.answer).where(
                table.c.caller == caller,
                table.c.invocation_id == invocation_id,
                table.c.operation == operation,
                table.c.digest == digest,
            )
        ).scalar()

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
        table = schema.answers
        self._connection.execute(delete(table).where(table.c.created_ms < forget_before_ms))
        self._connection.execute(
            delete(table).where(table.c.caller == caller, table.c.invocation_id == invocation_id)
        )
        self._connection.execute(
            insert(table),
            {
                "caller": caller,
                "invocation_id": invocation_id,
                "operation": operation,
                "digest": digest,
                "answer": answer,
                "created_ms": now_ms,
            },
        )
