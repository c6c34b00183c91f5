"""Runs one job: its steps, their undo, and what is recorded of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.locks import in_each_others_way
from mooring.catalog.transaction import Transaction
from mooring.jobs.running import retry
from mooring.jobs.running.leases import Leases
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.members import members
from mooring.model.errors import (
    CanceledError,
    PostponedError,
)
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.observe import metrics

NEWER_SECONDS = 60.0
"""When a job looks again that a newer program has made."""

Observer = Callable[[Job, str, str], None]
"""Is told of each job, step and moment: `begin`, `done` (not yet recorded), `recorded`, `undo`."""

log = structlog.get_logger("mooring.jobs")


def unobserved(_job: Job, _step: str, _moment: str) -> None:
    """Nobody watches."""


class Execution:
    """Runs jobs whose leases are held, in the caller's thread; safe to use from any."""

    def __init__(
        self,
        backend: Backend,
        procedures: Mapping[JobKind, Procedure],
        leases: Leases,
        observer: Observer,
        stopped: threading.Event,
    ) -> None:
        """When `stopped` is set, no further step is begun."""
        self._backend = backend
        self._procedures = procedures
        self._leases = leases
        self._observer = observer
        self._stopped = stopped

    def run(self, job: Job) -> None:
        """Do or undo steps until the job is over, put back, or this is to stop.

        Raises LeaseLostError if another has it by then, and what the catalog raises.
        """
        procedure = self._procedures[job.kind]
        bound = log.bind(job=job.id, kind=job.kind, **members(job.arguments))
        while not self._stopped.is_set():
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
            except CATALOG_ERRORS as error:
                if in_each_others_way(error):
                    self._put_back(job)  # at once: its lease would have to end first
                    return
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
            except retry.AWAY as error:
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
