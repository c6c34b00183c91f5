"""Connections to SQLite and PostgreSQL, set up as a catalog needs them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError

MEMORY = "sqlite://"
"""The URL of a catalog that lives as long as the process, for tests."""

DATABASES = ("sqlite", "postgresql")

CONNECTIONS = 40
"""Connections kept open, at most; as many again for a while."""

STANDSTILL_SECONDS = 30
"""After so long without a statement in a transaction PostgreSQL ends it, and the session."""

VANISHED_SECONDS = 30
"""After so long each side of a connection takes the other's machine for gone, if it is silent.

A machine that lost its power, or its network, takes leave of nobody. By itself PostgreSQL would
keep its session for two hours, and with that the lock which says that its server runs; and a server
would wait a quarter of an hour for the answer of a database that is gone.
"""

_PROBES, _PROBE_SECONDS = 4, 5
_IDLE_SECONDS = VANISHED_SECONDS - _PROBES * _PROBE_SECONDS
_OURS = {
    "keepalives_idle": _IDLE_SECONDS,
    "keepalives_interval": _PROBE_SECONDS,
    "keepalives_count": _PROBES,
    "tcp_user_timeout": VANISHED_SECONDS * 1000,
}
_OF_A_SESSION = (
    # A server that stands still keeps the rows that it has locked from all others.
    f"SET idle_in_transaction_session_timeout = '{STANDSTILL_SECONDS}s'",
    f"SET tcp_keepalives_idle = {_IDLE_SECONDS}",
    f"SET tcp_keepalives_interval = {_PROBE_SECONDS}",
    f"SET tcp_keepalives_count = {_PROBES}",
)

WRITER_CACHE_KIB = 16 * 1024
"""What the connection that writes keeps of a SQLite file in memory, at most."""

WAL_ATTEMPTS, WAL_PAUSE_SECONDS = 600, 0.05
"""How often a new SQLite file is tried that another program is making, for half a minute."""


def connect(url: str) -> Engine:
    """The engine for the URL. Raises ConfigurationError for one that is none, or not known.

    One for PostgreSQL need not name a driver: there is one.
    """
    url = with_driver(url)
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError):
        backend = ""
    if backend not in DATABASES:
        # It is not shown: it may hold a password.
        raise ConfigurationError(
            "catalog must be the URL of a database, such as sqlite:////srv/mooring.sqlite or "
            "postgresql+psycopg://mooring@db.example/mooring"
        )
    try:
        return _open_sqlite(url) if backend == "sqlite" else _open_postgresql(url)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"the catalog's database needs a driver that is missing ({error}): "
            "pip install 'mooring-disks[postgres]', which brings psycopg"
        ) from error


def with_driver(url: str) -> str:
    """The URL with our driver, if it is one for PostgreSQL as other programs write it."""
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgresql", "postgres"):
        return f"postgresql+psycopg{separator}{rest}"
    return url


def _open_postgresql(url: str) -> Engine:
    given = make_url(url).query
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_use_lifo=True,
        max_overflow=CONNECTIONS,
        connect_args={name: value for name, value in _OURS.items() if name not in given},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.execute(";".join(_OF_A_SESSION))
        connection.commit()

    return engine


def _open_sqlite(url: str) -> Engine:
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 30}}
    if url == MEMORY:
        options["poolclass"] = StaticPool
    else:
        # The last used is used next: its pages are in its cache.
        options |= {"pool_size": CONNECTIONS, "max_overflow": CONNECTIONS, "pool_use_lifo": True}
    engine = create_engine(url, isolation_level="AUTOCOMMIT", **options)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        _log_ahead(cursor)
        # NORMAL syncs before and after checkpoints; the commits themselves GroupSync does: a
        # reply says only what would survive a power cut.
        cursor.execute("PRAGMA synchronous = NORMAL")
        # Not mapped: where the disk cannot be read, the kernel would end the server.
        cursor.execute("PRAGMA mmap_size = 0")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


class Writer:
    """The one connection that writes to a SQLite file. For one thread at a time."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    @contextmanager
    def use(self, engine: Engine) -> Iterator[Connection]:
        """The connection, opened if need be; after an error another one takes its place."""
        if self._connection is None:
            self._connection = engine.connect()
            self._connection.exec_driver_sql(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
        try:
            yield self._connection
        except (DBAPIError, sqlite3.Error):
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not back to the pool: it has more of a cache than the others.
            connection.invalidate()
            connection.close()


def _log_ahead(cursor: sqlite3.Cursor) -> None:
    """Have SQLite write a log; a new database is locked while another program does that.

    SQLite does not wait then, whatever its time-out: two who each want to change from reading to
    writing would wait for each other.
    """
    for left in reversed(range(WAL_ATTEMPTS)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                raise
        SystemClock().sleep(WAL_PAUSE_SECONDS)
