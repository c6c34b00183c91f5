"""Tells other servers of the catalog what can be run, and hears it from them."""

from __future__ import annotations

import hashlib
import os
import select
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from mooring.model.resources.job_kind import JobKind
from mooring.observe.loop import Loop

LOOK_SECONDS = 20.0
"""How often it is seen to that the database still knows us, when there is no news."""

RUNS = "runs"
"""The word that says that an automatic snapshot may be due sooner than was known."""

_TELL = text("SELECT pg_notify(:channel, :news)")

log = structlog.get_logger("mooring.catalog")


class News:
    """A session of its own in which this server listens, and tells what its transactions did.

    It is told after the commit, not in the transaction: there PostgreSQL has all that tell
    something wait for each other, and the request would wait for one statement more. What is told
    while the session is away is lost, so whoever hears looks for itself now and then, and at once
    when the session is back.
    """

    def __init__(
        self,
        engine: Engine,
        hear_jobs: Callable[[Sequence[JobKind]], None],
        hear_runs: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._hear_jobs, self._hear_runs = hear_jobs, hear_runs
        self._from = uuid4().hex[:12]
        self._lock = threading.Lock()
        self._untold: set[str] = set()
        self._heard: set[str] = set()
        self._session: Connection | None = None
        self._channel = ""
        self._closed = False
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = Loop("catalog-news", self._round, wake=self._wake)
        self._loop.start()

    def tell(self, words: Collection[str]) -> None:
        """Have other servers told of kinds of jobs that can be run, or of RUNS. Does not wait."""
        with self._lock:
            self._untold.update(words)
        self._wake()

    def close(self) -> None:
        """May be called again."""
        self._loop.stop()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._woken)
            os.close(self._waker)
        self._drop()

    def _wake(self) -> None:
        with self._lock, suppress(BlockingIOError):
            # The number may be another file's by now.
            if not self._closed:
                os.write(self._waker, b".")

    def _round(self) -> None:
        try:
            if self._session is None:
                self._begin()
            if not self._pass_on():
                self._wait()
            heard, self._heard = self._heard, set()
            self._hear(heard)
        except BaseException:
            self._drop()
            raise

    def _begin(self) -> None:
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            # The pool would use it for others.
            session.detach()
            schema = str(session.execute(text("SELECT current_schema()")).scalar())
            # Catalogs in several schemas are several, and a name has an end.
            self._channel = f"mooring_{hashlib.sha256(schema.encode()).hexdigest()[:24]}"
            session.exec_driver_sql(f"LISTEN {self._channel}")
        except BaseException:
            session.invalidate()
            session.close()
            raise
        # It is called by whatever statement is executed when news has come.
        driver: Any = session.connection.dbapi_connection
        driver.add_notify_handler(self._note)
        self._session = session
        # What was told until now nobody heard here.
        self._hear({*JobKind, RUNS})

    def _pass_on(self) -> bool:
        """Tell what is untold; False if there is nothing."""
        assert self._session is not None
        with self._lock:
            words, self._untold = self._untold, set()
        if words:
            news = " ".join([self._from, *sorted(words)])
            self._session.execute(_TELL, {"channel": self._channel, "news": news})
        return bool(words)

    def _wait(self) -> None:
        """Wait until there is something to tell or to hear."""
        assert self._session is not None
        driver: Any = self._session.connection.dbapi_connection
        poll = select.poll()
        for file in (driver.fileno(), self._woken):
            poll.register(file, select.POLLIN)
        ready = [file for file, _ in poll.poll(LOOK_SECONDS * 1000)]
        if ready != [self._woken]:
            self._session.execute(text("SELECT 1"))
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)

    def _note(self, news: Any) -> None:
        sender, *words = news.payload.split()
        if sender != self._from:
            self._heard.update(words)

    def _hear(self, words: Collection[str]) -> None:
        # A newer program may tell of kinds that this one does not know.
        if kinds := [kind for kind in JobKind if kind in words]:
            self._hear_jobs(kinds)
        if RUNS in words:
            self._hear_runs()

    def _drop(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            with suppress(SQLAlchemyError):
                session.close()
