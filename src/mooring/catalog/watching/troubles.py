"""Rows of troubles, and of where they were told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from mooring.catalog.tables import schema
from mooring.model.trouble import KnownTrouble, Severity, Trouble, TroubleKind, Untold

_table, _tellings = schema.troubles, schema.trouble_tellings
_this = _table.c.key == bindparam("this_key")
_OF = (
    select(_table)
    .where(_table.c.server.in_(bindparam("servers", expanding=True, type_=Text)))
    .order_by(_table.c.key)
)
_critical_first = case((_table.c.severity == Severity.CRITICAL, 0), else_=1)
_LASTING = (
    select(_table)
    .where(_table.c.ended_ms.is_(None))
    .order_by(_critical_first, _table.c.since_ms, _table.c.key)
    .limit(bindparam("limit"))
)
_COUNT = (
    select(_table.c.kind, func.count().label("count"))
    .where(_table.c.ended_ms.is_(None))
    .group_by(_table.c.kind)
)
_ADD, _FORGET = insert(_table), delete(_table).where(_this)
_CHANGE = update(_table).where(_this)
_on_channel = and_(_tellings.c.key == _table.c.key, _tellings.c.channel == bindparam("channel"))
_TOLD = (
    select(_table, _tellings.c.told_ms)
    .outerjoin(_tellings, _on_channel)
    .order_by(_critical_first, _table.c.since_ms, _table.c.key)
)
_ADD_TELLING = insert(_tellings)
_FORGET_TELLING = delete(_tellings).where(
    _tellings.c.key == bindparam("this_key"), _tellings.c.channel == bindparam("this_channel")
)
_is_told = exists().where(_tellings.c.key == _table.c.key)
_FORGET_ENDED = delete(_table).where(
    _table.c.ended_ms <= bindparam("settled_ms", type_=BigInteger),
    ~_is_told | (_table.c.ended_ms <= bindparam("old_ms", type_=BigInteger)),
)
_FORGET_STRAY = delete(_tellings).where(_tellings.c.key.not_in(select(_table.c.key)))


class Troubles:
    """What is wrong now, and what has ended and was not told everywhere."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, servers: Collection[str]) -> list[KnownTrouble]:
        """Those that these servers see; empty stands for what all see."""
        rows = self._connection.execute(_OF, {"servers": list(servers)})
        return [_known(row) for row in rows]

    def servers(self) -> set[str]:
        """The ids of those that see something that lasts; empty stands for what all see."""
        query = select(_table.c.server).where(_table.c.ended_ms.is_(None)).distinct()
        return set(self._connection.execute(query).scalars())

    def lasting(self, limit: int) -> list[KnownTrouble]:
        """Those that last, critical ones first, then the oldest; not more than so many."""
        return [_known(row) for row in self._connection.execute(_LASTING, {"limit": limit})]

    def count(self) -> dict[TroubleKind, int]:
        """How many last, by kind; kinds of a newer program are left out."""
        rows = self._connection.execute(_COUNT).all()
        return {TroubleKind(row.kind): row[1] for row in rows if row.kind in list(TroubleKind)}

    def begin(self, trouble: Trouble, now_ms: int) -> None:
        """Enter one that was not known."""
        row = {
            "key": trouble.key,
            "server": trouble.server,
            "kind": trouble.kind,
            "region": trouble.region,
            "resource": trouble.resource,
            "severity": trouble.severity,
            "text": trouble.text,
            "since_ms": now_ms,
            "noted_ms": now_ms,
            "ended_ms": None,
        }
        self._connection.execute(_ADD, row)

    def note(self, trouble: Trouble, now_ms: int) -> None:
        """It lasts, perhaps again, and this is its sentence now."""
        changed = {"text": trouble.text, "noted_ms": now_ms, "ended_ms": None}
        self._connection.execute(_CHANGE, {"this_key": trouble.key, **changed})

    def end(self, key: str, now_ms: int) -> None:
        """It has ended; it is remembered until that was told everywhere."""
        self._connection.execute(_CHANGE, {"this_key": key, "ended_ms": now_ms})

    def forget_ended(self, settled_ms: int, old_ms: int) -> None:
        """Forget those that have ended before a moment and are told nowhere; before another all."""
        self._connection.execute(_FORGET_ENDED, {"settled_ms": settled_ms, "old_ms": old_ms})
        self._connection.execute(_FORGET_STRAY)

    def untold(self, channel: str, now_ms: int, repeat_ms: int, settle_ms: int) -> Untold:
        """What is to be told in one place.

        Lasting ones that were told longer ago than `repeat_ms` are told again. The end of one that
        was told is told `settle_ms` after it came: it may begin again. What is ahead of the clock,
        which was set back then, is told at once.
        """
        begun, lasting, ended = [], [], []
        for row in self._connection.execute(_TOLD, {"channel": channel}):
            if row.ended_ms is None and row.told_ms is None:
                begun.append(_known(row))
            elif row.ended_ms is None and not 0 <= now_ms - row.told_ms < repeat_ms:
                lasting.append(_known(row))
            elif row.told_ms is None:
                continue  # it ended before anybody was told
            elif row.ended_ms is not None and not 0 <= now_ms - row.ended_ms < settle_ms:
                ended.append(_known(row))
        return Untold(tuple(begun), tuple(lasting), tuple(ended))

    def told(self, channel: str, untold: Untold, now_ms: int) -> None:
        """All that was told there."""
        keys = [one.trouble.key for one in (*untold.begun, *untold.lasting)]
        self._forget_tellings(channel, (*keys, *(one.trouble.key for one in untold.ended)))
        if keys:
            rows = [{"key": key, "channel": channel, "told_ms": now_ms} for key in keys]
            self._connection.execute(_ADD_TELLING, rows)

    def _forget_tellings(self, channel: str, keys: Iterable[str]) -> None:
        asked = [{"this_key": key, "this_channel": channel} for key in keys]
        if asked:
            self._connection.execute(_FORGET_TELLING, asked)


def _known(row: Row[Any]) -> KnownTrouble:
    return KnownTrouble(
        trouble=Trouble(
            kind=TroubleKind(row.kind),
            text=row.text,
            region=row.region,
            resource=row.resource,
            server=row.server,
        ),
        since_ms=row.since_ms,
        noted_ms=row.noted_ms,
        ended_ms=row.ended_ms,
    )
