"""What time a lease is measured by: the database's, where several servers share it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# Servers' clocks may be apart, jump, or stand still with a server that is stopped; the database has
# one. It is read when the statement is executed: a transaction may have waited for a lock before.
_CLOCK = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class LeaseClock(FunctionElement[int]):
    """Milliseconds now: of PostgreSQL's clock; with SQLite the parameter `now_ms`.

    A SQLite file has one server, whose clock is the only one there is.
    """

    type = BigInteger()
    inherit_cache = True
    name = "lease_clock"


@compiles(LeaseClock)
def _given(element: LeaseClock, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(LeaseClock, "postgresql")
def _of_database(_element: LeaseClock, _compiler: SQLCompiler, **_kw: Any) -> str:
    return _CLOCK


LEASE_NOW = LeaseClock(bindparam("now_ms", type_=BigInteger))
