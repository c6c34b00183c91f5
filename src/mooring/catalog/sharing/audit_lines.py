"""Lines of the audit log in the catalog: no change without one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Text, bindparam, delete, insert, select, update

from mooring.catalog.tables import schema
from mooring.observe.audit_trail import Trail

READ_LINES = 50_000
"""How many lines are read for one answer, at most."""

PAGE = 1000

_table = schema.audit_lines
_this = _table.c.request_id == bindparam("of_request", type_=Text)
_ADD = insert(_table)
_CORRECT = update(_table).where(_this)


@dataclass(slots=True)
class Note:
    """What is to be written of a request, in the first of its transactions that changes something.

    `recorded` is whether that has ended well. For one request, and so for one thread at a time.
    """

    request_id: str
    time_ms: int
    server: str
    line: Mapping[str, Any] = field(default_factory=dict)
    recorded: bool = False


class AuditLines:
    """Members are those of the file's lines."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, note: Note) -> None:
        self._connection.execute(
            _ADD,
            {
                "request_id": note.request_id,
                "time_ms": note.time_ms,
                "server": note.server,
                "line": _text(note.line),
            },
        )

    def correct(self, note: Note) -> None:
        """Say what became of a request whose line is there."""
        asked = {"of_request": note.request_id, "line": _text(note.line)}
        self._connection.execute(_CORRECT, asked)

    def since(self, time_ms: int, page: int = PAGE) -> Iterator[dict[str, Any]]:
        """The lines of requests received since then, oldest first, each with its server."""
        after = 0
        while True:
            query = (
                select(_table)
                .where(_table.c.time_ms >= time_ms, _table.c.seq > after)
                .order_by(_table.c.seq)
                .limit(page)
            )
            rows = self._connection.execute(query).all()
            for row in rows:
                yield {**json.loads(row.line), "server": row.server}
            if len(rows) < page:
                return
            after = rows[-1].seq

    def trail(self, text: str, before: int | None, limit: int) -> Trail:
        """Up to so many lines that contain the text, in any case, newest first, before a place.

        Of a long log some are read for one answer; the next one goes on from there.
        """
        wanted, found, read = text.lower(), list[dict[str, Any]](), 0
        place = before
        while read < READ_LINES:
            query = select(_table).order_by(_table.c.seq.desc()).limit(PAGE)
            if place is not None:
                query = query.where(_table.c.seq < place)
            rows = self._connection.execute(query).all()
            for row in rows:
                place = row.seq
                if wanted in row.line.lower() or wanted in row.server.lower():
                    found.append({**json.loads(row.line), "server": row.server})
                if len(found) >= limit:
                    return Trail(found, str(place))
            if len(rows) < PAGE:
                return Trail(found, None)
            read += PAGE
        return Trail(found, str(place))

    def forget(self, before_ms: int, limit: int) -> int:
        """Forget some of the requests received before then; returns how many."""
        oldest = select(_table.c.seq).where(_table.c.time_ms < before_ms)
        some = oldest.order_by(_table.c.time_ms).limit(limit)
        return self._connection.execute(delete(_table).where(_table.c.seq.in_(some))).rowcount


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"))
