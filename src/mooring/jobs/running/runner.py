"""The runner: acquires jobs, runs their steps, records their progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import CATALOG_ERRORS, Transaction
from mooring.jobs.running import retry
from mooring.jobs.running.leases import Leases
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.errors import (
    CanceledError,
    LeaseLostError,
    PlaceAwayError,
    PostponedError,
    VaultAwayError,
)
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import BULK, FILLING, JobKind
from mooring.model.traffic import Traffic
from mooring.observe import metrics
from mooring.observe.loop import Loop

POLL_SECONDS = 5.0
"""How long a thread sleeps at most when there is nothing to do and nobody wakes it."""

TOLD_POLL_SECONDS = 30.0
"""The same where many threads of many servers ask one database, which tells all of them of news."""

GIVE_WAY_SECONDS = 0.02
"""How long a job that moves data waits, at most, for requests under way before it begins.

So that storing continues whatever the traffic: two threads begin a hundred such jobs a second.
"""

NEWER_SECONDS = 60.0
"""When a job looks again that a newer program has made."""

SHORTEST_SECONDS = 0.02
"""How long it sleeps at least before a job that is due then."""

Observer = Callable[[Job, str, str], None]
"""Is told of each job, step and moment: `begin`, `done` (not yet recorded), `recorded`, `undo`."""

log = structlog.get_logger("mooring.jobs")


def unobserved(_job: Job, _step: str, _moment: str) -> None:
    """Nobody watches."""


def _check_version(job: Job, procedure: Procedure) -> None:
    """Leave to a newer program what it has begun. Raises PostponedError."""
    if job.version > procedure.version:
        raise PostponedError(
            f"the job {job.id} ({job.kind}) is of version {job.version} of its procedure, and this "
            f"program knows {procedure.version}: run the newer program again",
            NEWER_SECONDS,
        )


def _no_change(_transaction: Transaction, _job: Job) -> None:
    """Nothing but the job's end is recorded."""


class Lane:
    """Jobs of some kinds, and the threads that run them.

    A thread sleeps only if there has been no news since before it looked. `gives_way`: each job
    lets requests go first.
    """

    def __init__(
        self, name: str, kinds: Collection[JobKind], threads: int, *, gives_way: bool = False
    ) -> None:
        self.name, self.kinds, self.threads = name, kinds, threads
        self.gives_way = gives_way
        self._changed = threading.Condition()
        self._news = 0

    @property
    def news(self) -> int:
        """How much news there has been."""
        return self._news

    def tell(self, jobs: int) -> None:
        """So many more jobs can be run: as many threads look, or all."""
        with self._changed:
            self._news += 1
            self._changed.notify(jobs)

    def sleep(self, seconds: float, news: int) -> None:
        """Sleep until there is more news than that, or for so long."""
        with self._changed:
            if self._news == news:
                self._changed.wait(seconds)


class Runner:
    """Runs jobs in threads: some for those that move data, some for all others.

    The catalog tells of jobs that can be run, so that a thread looks only where there is one.
    """

    def __init__(
        self,
        backend: Backend,
        procedures: Mapping[JobKind, Procedure],
        *,
        quick_threads: int = 2,
        bulk_threads: int = 2,
        filling_threads: int = 2,
        observer: Observer = unobserved,
        traffic: Traffic | None = None,
    ) -> None:
        self._backend = backend
        self._procedures = procedures
        self._observer = observer
        self._leases = Leases(backend)
        self._stop = threading.Event()
        self._traffic = traffic or Traffic()
        quick = procedures.keys() - BULK - FILLING
        self._lanes = [
            Lane("quick", quick, quick_threads),
            Lane("bulk", procedures.keys() & BULK, bulk_threads, gives_way=True),
            Lane("filling", procedures.keys() & FILLING, filling_threads, gives_way=True),
        ]
        self._loops = [
            Loop(f"jobs-{lane.name}-{number}", partial(self._work, lane))
            for lane in self._lanes
            for number in range(lane.threads)
        ]
        self._loops.append(Loop("jobs-leases", self._leases.renew))

    def start(self) -> None:
        self._backend.catalog.tell(self._runnable)
        self._leases.begin({lane.name: lane.threads for lane in self._lanes})
        for loop in self._loops:
            loop.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Begin no further step and wait for those under way.

        A step that lasts longer than `timeout` seconds is left as a crash would leave it.
        """
        self._stop.set()
        for loop in self._loops:
            loop.signal()
        for lane in self._lanes:
            lane.tell(lane.threads)
        deadline = self._backend.clock.monotonic() + timeout
        for loop in self._loops:
            loop.stop(max(0.0, deadline - self._backend.clock.monotonic()))
        self._leases.end()

    def drain(self) -> None:
        """Run in this thread what is due, until nothing is: for tools and tests."""
        while True:
            with self._leases.taken(list(self._procedures)) as (job, _):
                if job is None:
                    return
                self._run_held(job)

    def _runnable(self, kinds: Sequence[JobKind]) -> None:
        for lane in self._lanes:
            if jobs := sum(kind in lane.kinds for kind in kinds):
                lane.tell(jobs)

    def _work(self, lane: Lane) -> None:
        """Run a job, or sleep until there is one. What the catalog raises is the loop's."""
        news = lane.news
        longest = seconds = TOLD_POLL_SECONDS if self._backend.catalog.is_for_many else POLL_SECONDS
        if lane.gives_way:
            self._traffic.give_way(GIVE_WAY_SECONDS)
        with self._leases.taken(lane.kinds) as (job, due_ms):
            if job is not None:
                self._run_held(job)
                return
        if due_ms is not None:
            due_seconds = (due_ms - self._backend.clock.now_ms()) / 1000
            seconds = min(longest, max(SHORTEST_SECONDS, due_seconds))
        lane.sleep(seconds, news)

    def _run_held(self, job: Job) -> None:
        """Run a job as long as it is ours; whoever has taken it does it again, or on."""
        try:
            self._run(job)
        except LeaseLostError as error:
            log.error("a job is given up here", job=job.id, kind=job.kind, why=str(error))

    def _run(self, job: Job) -> None:
        procedure = self._procedures[job.kind]
        bound = log.bind(job=job.id, kind=job.kind, **asdict(job.arguments))
        while not self._stop.is_set():
            if job.undoing:
                self._undo(job, procedure)
                return
            step = procedure.steps[job.step]
            self._leases.check(job)
            self._observer(job, step.name, "begin")
            try:
                _check_version(job, procedure)
                change = step.do(Work(job, self._backend))
                self._observer(job, step.name, "done")
                next_job = self._record(job, procedure, change)
                self._observer(job, step.name, "recorded")
            except CATALOG_ERRORS:
                # The catalog failed, not the job: its loop tries again, and tells of it.
                raise
            except PostponedError as error:
                seconds = retry.POSTPONED_SECONDS if error.seconds is None else error.seconds
                # Why it waits can be asked for meanwhile.
                later = replace(
                    job, not_before_ms=self._after(seconds), error_details=str(error) or None
                )
                self._put_back(later)
                return
            except (VaultAwayError, PlaceAwayError) as error:
                # It is no failure of the job's: what it works on stays, and so does the job.
                again = replace(
                    job, not_before_ms=self._after(retry.AWAY_SECONDS), error_details=str(error)
                )
                self._put_back(again)
                return
            except CanceledError as error:
                bound.info("canceled", step=step.name)
                job = self._give_up(job, "Canceled", str(error))
            except Exception as error:  # noqa: BLE001 - it ends in the operation's errorDetails
                delay = retry.delay(error, job.attempts)
                bound.warning("step failed", step=step.name, error=repr(error), again_in=delay)
                if delay is not None:
                    again = replace(
                        job,
                        attempts=job.attempts + 1,
                        not_before_ms=self._after(delay),
                        error_details=retry.details(error),
                    )
                    self._put_back(again)
                    return
                job = self._give_up(job, retry.code(error), retry.details(error))
            else:
                if next_job is None:
                    return
                job = next_job

    def _record(self, job: Job, procedure: Procedure, change: Change | None) -> Job | None:
        """Write down that a step is done; None when it was the last."""
        done = replace(job, step=job.step + 1, attempts=0)
        with self._backend.catalog.write() as transaction:
            if change is not None:
                change(transaction)
            if done.step < len(procedure.steps):
                transaction.jobs.record(done)
                return done
            transaction.jobs.remove(job)
            if not transaction.jobs.left(job.waited_for):
                transaction.operations.finish(job.waited_for, self._backend.clock.now_ms())
        metrics.job_ended(job.kind, "succeeded")
        return None

    def _give_up(self, job: Job, code: str, details: str) -> Job:
        undoing = replace(job, undoing=True, attempts=0, error_code=code, error_details=details)
        with self._backend.catalog.write() as transaction:
            transaction.jobs.record(undoing)
        return undoing

    def _undo(self, job: Job, procedure: Procedure) -> None:
        """Undo the step that failed and those before it; a failing undo is tried again later."""
        for step in reversed(procedure.steps[: job.step + 1]):
            self._leases.ask(job)
            self._observer(job, step.name, "undo")
            if not self._undo_step(job, step):
                return
        if not self._end_failed(job, procedure):
            return
        metrics.job_ended(job.kind, "failed")

    def _end_failed(self, job: Job, procedure: Procedure) -> bool:
        """Record that a job has failed; False if even that is tried again later."""
        try:
            self._record_failed(job, procedure.failed)
        except CATALOG_ERRORS:
            raise
        except Exception as error:
            delay = retry.delay(error, job.attempts)
            log.exception("a failure could not be recorded", job=job.id, again_in=delay)
            if delay is not None:
                attempts = job.attempts + 1
                self._put_back(replace(job, attempts=attempts, not_before_ms=self._after(delay)))
                return False
            # The client is told, and the next jobs of that key have their turn.
            details = f"{job.error_details}; and this could not be recorded: {error}"
            self._record_failed(replace(job, error_details=details), _no_change)
        return True

    def _record_failed(self, job: Job, change: Callable[[Transaction, Job], None]) -> None:
        with self._backend.catalog.write() as transaction:
            change(transaction, job)
            now = self._backend.clock.now_ms()
            # Of a group the first to fail decides; the others continue, each for itself.
            transaction.operations.finish(job.waited_for, now, job.error_code, job.error_details)
            transaction.jobs.remove(job)

    def _undo_step(self, job: Job, step: Step) -> bool:
        try:
            step.undo(Work(job, self._backend))
        except CATALOG_ERRORS:
            raise
        except Exception as error:
            delay = retry.delay(error, job.attempts)
            log.exception("undo failed", job=job.id, step=step.name, again_in=delay)
            if delay is None:
                # What is left over is found by `mooringd doctor` and by collection.
                return True
            again = replace(job, attempts=job.attempts + 1, not_before_ms=self._after(delay))
            self._put_back(again)
            return False
        return True

    def _put_back(self, job: Job) -> None:
        with self._backend.catalog.write() as transaction:
            transaction.jobs.record(job, release=True)

    def _after(self, seconds: float) -> int:
        return self._backend.clock.now_ms() + round(seconds * 1000)
