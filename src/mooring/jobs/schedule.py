"""What the server does periodically without being asked; not automatic snapshots.

The times are kept in memory, and a job is recorded only when it is due: a restarted server begins
with the first delays again. Where several servers can use the catalog, it knows when each job was
last begun by one of them, so that they do not begin more of them than one would.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.old_operations import OldAuditLines, OldOperations
from mooring.jobs.watching.vaults import VaultWatch
from mooring.model.resources.job_arguments import CollectVault, OfVault, ReplicateVault, VerifyVault
from mooring.observe.loop import Loop

LOOK_SECONDS = 10.0
"""How often the schedule looks whether something is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job for each region, `first_seconds` after the start and every `every_seconds` then.

    `only`: for which regions; default: all.
    """

    arguments: OfVault
    first_seconds: float
    every_seconds: float
    only: frozenset[str] | None = None


class Schedule:
    """Records jobs when they are due, in a thread of its own."""

    def __init__(
        self,
        backend: Backend,
        tasks: Sequence[Task],
        keep_operations_days: float = 0,
        keep_audit_days: float = 0,
    ) -> None:
        """Operations, and lines of the shared audit log, are kept for so many days; 0: for ever."""
        self._backend = backend
        self.vaults = VaultWatch(backend)
        now = backend.clock.monotonic()
        self._due = {task.arguments.kind: now + task.first_seconds for task in tasks}
        self._tasks = tasks
        self._old_operations = OldOperations(backend, keep_operations_days)
        self._old_lines = OldAuditLines(backend, keep_audit_days)
        self._loop = Loop("jobs-schedule", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Record nothing more. May be called without `start`."""
        self._loop.stop()

    def look(self) -> None:
        """Record the jobs that are due now, and look after vaults and old operations."""
        self.vaults.look()
        self._look_for_tasks()
        self._old_operations.look()
        self._old_lines.look()

    def _look_for_tasks(self) -> None:
        now = self._backend.clock.monotonic()
        for task in self._tasks:
            if self._due[task.arguments.kind] > now:
                continue
            with self._backend.catalog.write() as transaction:
                later = [
                    self._begin(transaction, task, region)
                    for region in self._backend.vaults
                    if task.only is None or region in task.only
                ]
            # From now, not from when it was due: a machine that slept has nothing to make up for.
            self._due[task.arguments.kind] = now + min(later, default=task.every_seconds)

    def _begin(self, transaction: Transaction, task: Task, region: str) -> float:
        """Record the job unless another server has; returns after how many seconds to look."""
        kind = task.arguments.kind
        if self._backend.catalog.is_for_many:
            now, every = self._backend.clock.now_ms(), round(task.every_seconds * 1000)
            if left_ms := transaction.rounds.begin(kind, region, every, now):
                return left_ms / 1000
        enqueue(transaction, self._backend, task.arguments, region)
        return task.every_seconds

    def _round(self) -> float:
        self.look()
        return LOOK_SECONDS


def tasks(
    *,
    collect_minutes: float,
    verify_hours: float,
    verify_percent: float,
    replicate_minutes: float = 0.0,
    replicated: Collection[str] = (),
) -> list[Task]:
    """What is to be done, by the settings; 0 leaves a task out. `replicated`: regions."""
    found = []
    if collect_minutes:
        found.append(
            Task(
                arguments=CollectVault(),
                # Not at once: a start has better things to do.
                first_seconds=min(60.0, collect_minutes * 60),
                every_seconds=collect_minutes * 60,
            )
        )
    if verify_hours:
        found.append(
            Task(
                arguments=VerifyVault(percent=verify_percent),
                first_seconds=min(600.0, verify_hours * 3600),
                every_seconds=verify_hours * 3600,
            )
        )
    if replicate_minutes and replicated:
        found.append(
            Task(
                arguments=ReplicateVault(),
                first_seconds=min(120.0, replicate_minutes * 60),
                every_seconds=replicate_minutes * 60,
                only=frozenset(replicated),
            )
        )
    return found
