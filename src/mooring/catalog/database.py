"""The database: one transaction per request, durable when it ends."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.exc import (
    DatabaseError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import StaticPool

from mooring.catalog.connections import Writer, connect
from mooring.catalog.group_sync import GroupSync
from mooring.catalog.hold import FileHold, Hold, SessionHold, oldest_known
from mooring.catalog.locks import LOCKS_ROWS, alone
from mooring.catalog.migrate import State, migrate, newest, state
from mooring.catalog.room import CatalogRoom, LackOfRoom
from mooring.catalog.sharing.audit_lines import Note
from mooring.catalog.sharing.news import RUNS, News
from mooring.catalog.transaction import Transaction
from mooring.catalog.way import Way, look
from mooring.model.errors import CatalogError, CatalogFullError, ConfigurationError
from mooring.model.resources.job_kind import JobKind

CATALOG_ERRORS = (
    CatalogError,
    CatalogFullError,
    OperationalError,
    InterfaceError,
    DisconnectionError,
    PoolTimeoutError,
    sqlite3.OperationalError,
)
"""What the database raises when it cannot be reached, is full or is locked: no fault of whoever
uses it. Ends of transactions come from SQLite itself."""


Check = Callable[[Transaction], None]

Listener = Callable[[Sequence[JobKind]], None]
"""Is told the kinds of jobs that can be run, one for each job."""


class Catalog:
    """The database of resources, operations and jobs. May be used from any thread.

    Raises ConfigurationError for a URL that is none, or of a database that is not known.
    """

    def __init__(
        self,
        url: str,
        room: CatalogRoom | None = None,
        before_migration: Callable[[int], None] = lambda last: None,
    ) -> None:
        """`room` sees to it that a SQLite file on a full file system can still be changed;
        `before_migration` is called with the last migration before the first new one."""
        if room is not None:
            room.before_open()
        self._before_migration = before_migration
        self._engine = connect(url)
        self._room = room
        # Written once: for each transaction it would cost time.
        self._place = self._engine.url.render_as_string(hide_password=True)
        self._lack_of_room = LackOfRoom(self._place, room)
        self._sqlite = self._engine.dialect.name == "sqlite"
        # SQLite has one writer at a time; queueing here is fairer than its busy loop and takes no
        # connection. An in-memory database has but one.
        self._lock: AbstractContextManager[object] = (
            threading.RLock() if self._sqlite else nullcontext()
        )
        self._shared = isinstance(self._engine.pool, StaticPool)
        self._sync = None if self._shared or not self._sqlite else _group_sync(self._engine)
        self._writer = Writer()
        self._hold: Hold | None = None
        self._news: News | None = None
        self._checks: dict[bool, Check] = {}
        self._note: Note | None = None
        self._listener: Listener = lambda _kinds: None
        self._runs_listener: Callable[[], None] = lambda: None

    @property
    def is_for_many(self) -> bool:
        """Whether the database is one that servers on several hosts can use."""
        return not self._sqlite

    def tell(self, listener: Listener) -> None:
        """Tell who runs jobs of those that can be run, whenever a transaction has made some so."""
        self._listener = listener

    def tell_of_runs(self, listener: Callable[[], None]) -> None:
        """Tell who takes automatic snapshots when one may be due sooner than was known."""
        self._runs_listener = listener

    def hold(self, server_id: str = "") -> None:
        """Use the catalog until it is closed, as a server does that runs its jobs.

        A file is for one server. A database can be used by several, each with an id of its own;
        also alone until `migrate`, if that has something to do. Raises ConfigurationError
        if another server is in the way, or it cannot be used at all. When it is lost later, `write`
        raises CatalogError.
        """
        if self._hold is not None or self._shared:
            return
        if self._sqlite:
            held = self._hold = FileHold(Path(self._engine.url.database or ""))
            # SQLite would make a new file where one is away.
            event.listen(self._engine, "do_connect", lambda *_: held.check())
            return
        try:
            found = self.state()
            self._hold = SessionHold(
                self._engine,
                self._place,
                server_id,
                shared=found.is_current or found.is_for_many,
                knows=newest(),
            )
        except DatabaseError as error:
            raise self._unusable(error) from error
        self._news = News(self._engine, self._hear, self._hear_of_runs)

    def migrate(self) -> int:
        """Bring the tables to this program's version; see migrate.py.

        Raises ConfigurationError, also when the database cannot be used at all.
        """
        if self._room is not None:
            self._room.prepare()
        try:
            with (
                self._lack_of_room,
                self._durable(),
                self._lock,
                self._engine.connect() as connection,
                self._begin(connection, True),
            ):
                alone(connection, "migrations")
                oldest = None if self._sqlite else partial(oldest_known, connection, newest())
                done = migrate(connection, self._before_migration, oldest)
            if self._hold is not None:
                self._hold.share()
            return done
        except DatabaseError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: DatabaseError) -> ConfigurationError:
        code = getattr(error.orig, "sqlite_errorname", None)
        return ConfigurationError(
            f"the catalog {self._place} cannot be used: {error.orig}{f' ({code})' * bool(code)}. "
            "The setting catalog says where it is; by default it is under data."
        )

    def is_current(self) -> bool:
        """Whether this program can work with the tables as they are. Raises ConfigurationError."""
        found = self.state()
        return found.is_current and (not self._sqlite or not found.unknown)

    def state(self) -> State:
        """How the tables are to this program. Raises ConfigurationError."""
        try:
            with self._engine.connect() as connection, self._begin(connection, False):
                return state(connection)
        except DatabaseError as error:
            raise self._unusable(error) from error

    def way(self) -> Way:
        """How the database is reached, which is one for many. Raises ConfigurationError."""
        try:
            with self._engine.connect() as connection, self._begin(connection, False):
                return look(connection)
        except DatabaseError as error:
            raise self._unusable(error) from error

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        """Read and change; what was changed is durable at the end, or gone on an exception.

        Unless it need not be durable, because nothing is lost with it: a power cut may then undo
        it until something later is durable. What it has seen is durable in any case.
        """
        if self._room is not None:
            self._room.prepare()
        with (
            self._lack_of_room,
            self._durable(),
            self._lock,
            self._writing() as connection,
            self._begin(connection, True, durable),
        ):
            transaction = Transaction(connection)
            yield self._checked(transaction, True)
            noted = self._note is not None and not self._note.recorded
            if self._note is not None and noted:
                transaction.audit_lines.add(self._note)
        if self._note is not None and noted:
            self._note.recorded = True
        self._tell(transaction.runnable, transaction.stirred)

    def _hear(self, kinds: Sequence[JobKind]) -> None:
        self._listener(kinds)

    def _hear_of_runs(self) -> None:
        self._runs_listener()

    def _tell(self, runnable: Sequence[JobKind], stirred: bool) -> None:
        if runnable:
            self._listener(runnable)
        if stirred:
            self._runs_listener()
        if self._news is not None and (runnable or stirred):
            self._news.tell({*runnable, RUNS} if stirred else runnable)

    def _writing(self) -> AbstractContextManager[Connection]:
        """A connection to write with: with SQLite always the same, under its lock.

        SQLite drops the pages that a connection has read when another one has written.
        """
        if not self._sqlite or self._shared:
            return self._engine.connect()
        return self._writer.use(self._engine)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read from one consistent state, all of which is durable at the end."""
        lock = self._lock if self._shared else nullcontext()
        seen: int | None = None
        try:
            with (
                self._lack_of_room,
                lock,
                self._engine.connect() as connection,
                self._begin(connection, False),
            ):
                seen = self._look(connection)
                yield self._checked(Transaction(connection), False)
        finally:
            if self._sync is not None:
                self._sync.wait(seen)

    def guarded(self, check: Check) -> Catalog:
        """The same catalog for one request; its first transactions begin with the check.

        It is called in the first that reads and in the first that writes; what it raises ends
        them. Later ones finish what was begun, whatever others have changed since.
        """
        guarded = copy(self)
        guarded._checks = {True: check, False: check}
        return guarded

    def noting(self, note: Note) -> Catalog:
        """The same catalog for one request, of which it has the line as soon as any change."""
        noting = copy(self)
        noting._note = note
        return noting

    def _checked(self, transaction: Transaction, writes: bool) -> Transaction:
        if self._checks and (check := self._checks.pop(writes, None)):
            check(transaction)
        return transaction

    def problem(self) -> str | None:
        """Why nothing can be read or recorded at present, in a sentence; None if all is well."""
        try:
            if self._sync is not None:
                self._sync.check()
            if self._hold is not None:
                self._hold.check()
            with self._engine.connect() as connection, self._begin(connection, False):
                connection.execute(select(1))
        except CatalogError as error:
            return str(error)
        except SQLAlchemyError as error:
            # What else it says holds the statement, or how to log in.
            return f"the catalog cannot be used ({type(error).__name__})"
        return None

    def close(self) -> None:
        try:
            if self._news is not None:
                self._news.close()
            with self._lock:
                self._writer.close()
            if self._room is not None:
                self._room.before_close()
            self._engine.dispose()
            if self._sync is not None:
                self._sync.close()
            if self._room is not None:
                self._room.after_close()
        finally:
            # In the end: until now something may have been written.
            if self._hold is not None:
                self._hold.close()

    @contextmanager
    def _begin(self, connection: Connection, writes: bool, durable: bool = True) -> Iterator[None]:
        if writes and self._hold is not None:
            self._hold.check()
        if not self._sqlite:
            # Writers wait for each other's rows, so none has to be told to try again.
            level = "READ COMMITTED" if writes else "REPEATABLE READ"
            options = {"isolation_level": level, LOCKS_ROWS: writes}
            with connection.execution_options(**options).begin():
                if not durable:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield
            return
        driver = _driver(connection)
        driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")
        changes_before = driver.total_changes
        try:
            yield
            # The many looks for a job that find none leave nothing to be synced.
            if durable and self._sync is not None and driver.total_changes != changes_before:
                with self._sync.committing():
                    driver.execute("COMMIT")
            else:
                driver.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself where there was no room, say.
            if driver.in_transaction:
                driver.execute("ROLLBACK")
            raise

    def _look(self, connection: Connection) -> int | None:
        """Begin to see; return how many commits are seen: those that come later are not."""
        if self._sync is None:
            return None
        with self._sync.counted() as commits:
            _driver(connection).execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        return commits

    @contextmanager
    def _durable(self) -> Iterator[None]:
        """Wait in the end until what was written, or seen, is on the disk: after the lock."""
        try:
            yield
        finally:
            if self._sync is not None:
                self._sync.wait()


def _driver(connection: Connection) -> sqlite3.Connection:
    """SQLite itself: it is told quicker than through SQLAlchemy where a transaction ends."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _group_sync(engine: Engine) -> GroupSync | None:
    database = engine.url.database
    return None if not database or database == ":memory:" else GroupSync(Path(database))
