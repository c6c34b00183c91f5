"""The jobs that this server runs, and how long they are its own."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import CATALOG_ERRORS
from mooring.model.errors import LeaseLostError
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import SILENT_MS, Reach

LEASE_MS = SILENT_MS
"""How long a job belongs to a server that has stopped renewing: it does that thrice as often."""

log = structlog.get_logger("mooring.jobs")


@dataclass(slots=True)
class _Held:
    """A job that runs here, or is being `taken`; `lost` once another server has taken it."""

    job: Job
    taken: bool = False
    lost: bool = False


class Leases:
    """Takes jobs, renews their leases together, and knows which are lost. For all threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._server = backend.this_server
        self._owner = backend.this_server.id
        self._reach: Reach | None = None
        if backend.catalog.is_for_many:
            self._reach = Reach(backend.vaults.keys(), backend.elsewhere)
        self._running: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._renewed = self._reading()

    @contextmanager
    def taken(
        self, kinds: Collection[JobKind], *, by_due: bool = False
    ) -> Iterator[tuple[Job | None, int | None]]:
        """A job that is due, the oldest unless `by_due`; if none is, when the next will be."""
        job: Job | None = None
        due: int | None = None
        try:
            # A lease does not outlive the server anyhow.
            with self._backend.catalog.write(durable=False) as transaction:
                now, running = self._backend.clock.now_ms(), set(self._running)
                job = transaction.jobs.take(
                    self._owner, kinds, now, LEASE_MS, running, self._reach, by_due
                )
                if job is not None:
                    self._running[job.id] = _Held(job)
                else:
                    due = transaction.jobs.next_due_ms(kinds, self._owner, self._reach)
            if job is not None:
                self._running[job.id].taken = True
            yield job, due
        finally:
            # Also if the catalog went away before it was ours: it is to be taken another time.
            if job is not None:
                self._running.pop(job.id, None)

    def begin(self, lanes: Mapping[str, int]) -> None:
        """Tell other servers of this one, which runs jobs in so many threads of each lane."""
        self._server = replace(self._server, lanes=lanes)
        if self._backend.catalog.is_for_many:
            with self._backend.catalog.write() as transaction:
                transaction.servers.begin(self._server, self._backend.clock.now_ms())

    def renew(self) -> float:
        """Hold what runs here for longer, and tell others that this server lives.

        Returns after how many seconds to do it again.
        """
        now = self._reading()
        self._beat()
        # Of what is just being taken, nobody else can see yet that it is ours.
        if running := {one: held for one, held in dict(self._running).items() if held.taken}:
            generations = {job_id: held.job.generation for job_id, held in running.items()}
            with self._backend.catalog.write(durable=False) as transaction:
                lost = transaction.jobs.renew(
                    self._owner, generations, self._backend.clock.now_ms(), LEASE_MS
                )
            for job_id in lost:
                # One that has just ended here is not ours either, and nobody asks.
                running[job_id].lost = True
        with self._lock:
            self._renewed = now
        return LEASE_MS / 3000

    def check(self, job: Job) -> None:
        """Begin nothing that another server does already. Raises LeaseLostError.

        The catalog is asked only when leases were not renewed when they should have been: this
        process, or its machine, stood still, or the catalog is slow.
        """
        if self._running[job.id].lost:
            raise LeaseLostError(f"another server has taken the job {job.id} ({job.kind})")
        with self._lock:
            monotonic, wall = self._renewed
        now, wall_now = self._reading()
        # A machine that is suspended may show it by one clock only.
        if max(now - monotonic, abs(wall_now - wall)) > 2 * LEASE_MS / 3000:
            self.ask(job)

    def ask(self, job: Job) -> None:
        """Ask the catalog whether the job is ours. Raises LeaseLostError."""
        with self._backend.catalog.read() as transaction:
            transaction.jobs.check_held(job)

    def end(self) -> None:
        """Let others have at once what was begun here and is not run any more.

        A step that still runs is left to its lease: it ends with the process.
        """
        try:
            with self._backend.catalog.write(durable=False) as transaction:
                transaction.jobs.release(self._owner, set(self._running))
                if self._backend.catalog.is_for_many:
                    transaction.servers.end(self._owner, self._backend.clock.now_ms())
        except CATALOG_ERRORS as error:
            log.warning("leases are left to end by themselves", why=type(error).__name__)

    def _beat(self) -> None:
        """In a transaction of its own: renewing may wait for whoever is recording a job."""
        if not self._backend.catalog.is_for_many:
            return
        with self._backend.catalog.write(durable=False) as transaction:
            now = self._backend.clock.now_ms()
            known = transaction.servers.beat(self._owner, now)
            # Nobody else tells of what a dead server has left.
            transaction.jobs.tell_ended(now)
        if not known:
            self.begin(self._server.lanes)

    def _reading(self) -> tuple[float, float]:
        clock = self._backend.clock
        return clock.monotonic(), clock.now_ms() / 1000
