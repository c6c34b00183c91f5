"""Keeps servers off what another server has, for as long as that one lives."""

from __future__ import annotations

import fcntl
import select
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from mooring.catalog.connections import VANISHED_SECONDS
from mooring.model.errors import CatalogError, ConfigurationError
from mooring.observe.loop import Loop

LOOK_SECONDS = 5.0
"""How often it is seen to that the database still knows us."""

# Of the schema, not of the database: catalogs in several schemas are several.
_KEY = "hashtextextended('mooring ' || :what || ' of ' || coalesce(current_schema()::text, ''), 0)"
_TAKE = text(f"SELECT pg_try_advisory_lock({_KEY})")
_SHARE = text(f"SELECT pg_try_advisory_lock_shared({_KEY})")
_UNLOCK = text(f"SELECT pg_advisory_unlock({_KEY})")
_HOLDER = text(
    "SELECT pid, coalesce(host(client_addr), '') FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    f"AND (classid::bigint << 32) | objid::bigint = {_KEY}"
)

_NAME = text("SELECT set_config('application_name', :name, false)")
_KNOWS = "mooring server, knows migration "
_HOLDERS = text(
    "SELECT coalesce(application_name, '') FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    f"AND (classid::bigint << 32) | objid::bigint = {_KEY}"
)

_CATALOG = "server"
"""The lock of whoever uses the catalog. Programs that knew one server only had it for themselves;
so has one that is to change the tables."""

log = structlog.get_logger("mooring.catalog")


def oldest_known(connection: Connection, newest: int) -> int:
    """The last migration that all servers know whose sessions hold the catalog now.

    `newest` if there are none. A session that does not say so is of a program before that was
    told, or of another role: nothing is known of it. A server whose process stands still has its
    session, too.
    """
    names = connection.execute(_HOLDERS, {"what": _CATALOG}).scalars().all()
    known = [int(name.removeprefix(_KNOWS)) if name.startswith(_KNOWS) else 0 for name in names]
    return min([newest, *known])


class Hold(Protocol):
    """What says that this server, and no other, uses the catalog."""

    def check(self) -> None:
        """Raise CatalogError if another server has it meanwhile."""
        ...

    def share(self) -> None:
        """Let other servers in, if there can be any."""
        ...

    def close(self) -> None: ...


class FileHold:
    """Holds the file beside a SQLite file; the system unlocks it when the process ends.

    Beside it, because to close the database's own file anywhere would end SQLite's locks.
    Raises ConfigurationError when another server has it.

    SQLite itself goes on in a file that was moved or removed, and nobody would find it again.
    """

    def __init__(self, database: Path) -> None:
        # By whatever link it is named.
        real = database.resolve()
        self._database = real
        self._known: tuple[int, int] | None = None
        path = real.with_name(f"{real.name}.lock")
        try:
            self._file: IO[str] = path.open("a")
        except OSError as error:
            raise ConfigurationError(
                f"the catalog {database} cannot be used: {path}: {error.strerror}. "
                "The setting catalog says where it is; by default it is under data."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ConfigurationError(
                f"another server uses the catalog {database}: stop it, or name another database "
                "with the setting catalog. Several servers need a catalog on PostgreSQL."
            ) from None

    def check(self) -> None:
        """That the database is the file that it was at first, under its name. Cheap."""
        try:
            found = self._database.stat()
            there = (found.st_dev, found.st_ino)
        except OSError as error:
            if self._known is None and isinstance(error, FileNotFoundError):
                return  # it is to be made
            raise CatalogError(
                f"the catalog {self._database} is away ({error.strerror}), so nothing can be "
                "recorded: put it back, or mount its file system"
            ) from error
        if self._known is None:
            self._known = there
        elif self._known != there:
            raise CatalogError(
                f"the catalog {self._database} is another file now, so nothing can be recorded: "
                "put the right one back, or restart the server if this is it"
            )

    def share(self) -> None:
        """A file is for one server."""

    def close(self) -> None:
        self._file.close()


class SessionHold:
    """Holds locks of PostgreSQL's that end with the session, and a session for them.

    The catalog is shared with others unless it is to be migrated; a server's id is its own. When
    the session ends, because the database was restarted say, all are taken again, unless another
    server was quicker. Raises ConfigurationError when another server has one of them at first.
    """

    def __init__(
        self, engine: Engine, place: str, server_id: str, *, shared: bool, knows: int
    ) -> None:
        """`knows` is the last migration that this program knows: others can see it."""
        self._engine, self._place = engine, place
        self._shared, self._knows = shared, knows
        self._own = f"server {server_id}"
        self._wanted = _CATALOG
        self._lock = threading.Lock()
        self._session: Connection | None = None
        refused = self._take()
        if refused is not None:
            raise self._refused(refused)
        self._loop = Loop("catalog-hold", self._look)
        self._loop.start()

    def check(self) -> None:
        """Cheap: whether the session has ended shows at its socket, without a word to it."""
        with self._lock:
            if self._session is None or _has_news(self._session):
                self._see()

    def share(self) -> None:
        """Let others in: the tables are as this program needs them."""
        with self._lock:
            self._shared = True
            if self._session is not None:
                # A session's own locks are no hindrance to itself.
                for statement in (_SHARE, _UNLOCK):
                    self._session.execute(statement, {"what": _CATALOG})

    def _refused(self, holder: str) -> ConfigurationError:
        if self._wanted == self._own or not self._shared:
            way_out = (
                "or, if one's data directory is a copy of the other's, remove server-id there. "
                "After a power cut the server's former session is in the way for "
                f"{VANISHED_SECONDS} seconds"
                if self._shared
                else "for this program must change the tables first"
            )
            return ConfigurationError(
                f"another server{holder} uses the catalog {self._place}: stop it, {way_out}"
            )
        return ConfigurationError(
            f"another server{holder} uses the catalog {self._place}: stop it, for it is of an "
            "older version that shares none, or try again: it is just changing the tables"
        )

    def close(self) -> None:
        self._loop.stop()
        with self._lock:
            self._drop()

    def _look(self) -> float:
        with self._lock:
            self._see()
        return LOOK_SECONDS

    def _see(self) -> None:
        """See that the session lives, or begin another."""
        if self._session is not None:
            try:
                self._session.execute(text("SELECT 1"))
                return
            except SQLAlchemyError as error:
                log.warning("the session that holds the catalog ended", why=type(error).__name__)
                self._drop()
        refused = self._take()
        if refused is not None:
            raise CatalogError(
                f"another server{refused} has taken the catalog {self._place} ({self._wanted}) "
                "while this one could not reach it: stop one of the two"
            )
        log.info("the catalog is held again")

    def _take(self) -> str | None:
        """Begin a session with the locks; None if that was possible, else who has one."""
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            # The pool would use it for others.
            session.detach()
            session.execute(_NAME, {"name": f"{_KNOWS}{self._knows}"})
            locks = [(_CATALOG, _SHARE if self._shared else _TAKE)]
            locks.append((self._own, _TAKE))
            for self._wanted, statement in locks:
                if not session.execute(statement, {"what": self._wanted}).scalar():
                    break
            else:
                self._session = session
                return None
            holder = session.execute(_HOLDER, {"what": self._wanted}).first()
            session.close()
        except BaseException:
            session.invalidate()
            session.close()
            raise
        if holder is None:
            return ""
        return f" ({holder[1] or 'on the host of the database'}, its session {holder[0]})"

    def _drop(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            with suppress(SQLAlchemyError):
                session.close()


def _has_news(session: Connection) -> bool:
    """Whether there is something to read in a session that was asked nothing: its end, mostly."""
    driver: Any = session.connection.dbapi_connection
    poll = select.poll()
    try:
        poll.register(driver.fileno(), select.POLLIN)
    except Exception:  # noqa: BLE001 - the driver has closed it; whatever it says, look
        return True
    return bool(poll.poll(0))
