"""The runner: threads that acquire jobs and run them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from mooring.backend.backend import Backend
from mooring.jobs.running.execution import Execution, Observer, unobserved
from mooring.jobs.running.lane import Lane
from mooring.jobs.running.leases import Leases
from mooring.jobs.running.procedure import Procedure
from mooring.model.errors import LeaseLostError
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import BULK, DELETING, FILLING, JobKind
from mooring.model.traffic import Traffic
from mooring.observe.loop import Loop

POLL_SECONDS = 5.0
"""How long a thread sleeps at most when there is nothing to do and nobody wakes it."""

TOLD_POLL_SECONDS = 30.0
"""The same where many threads of many servers ask one database, which tells all of them of news."""

GIVE_WAY_SECONDS = 0.02
"""How long a job that moves data waits, at most, for requests under way before it begins.

So that storing continues whatever the traffic: two threads begin a hundred such jobs a second.
"""

SHORTEST_SECONDS = 0.02
"""How long it sleeps at least before a job that is due then."""

log = structlog.get_logger("mooring.jobs")


class Runner:
    """Runs jobs in threads: some for those that move data, or delete any, some for all others.

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
        deleting_threads: int = 2,
        observer: Observer = unobserved,
        traffic: Traffic | None = None,
    ) -> None:
        self._backend = backend
        self._procedures = procedures
        self._leases = Leases(backend)
        self._stop = threading.Event()
        self._execution = Execution(backend, procedures, self._leases, observer, self._stop)
        self._traffic = traffic or Traffic()
        quick = procedures.keys() - BULK - FILLING - DELETING
        self._lanes = [
            Lane("quick", quick, quick_threads),
            Lane("bulk", procedures.keys() & BULK, bulk_threads, gives_way=True),
            Lane("filling", procedures.keys() & FILLING, filling_threads, gives_way=True),
            Lane("deleting", procedures.keys() & DELETING, deleting_threads),
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
        self.wake()
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

    def wake(self) -> None:
        """Look at once, as after the clock was put forward."""
        for lane in self._lanes:
            lane.tell(lane.threads)

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
        with self._leases.taken(lane.kinds, by_due=lane.turn()) as (job, due_ms):
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
            self._execution.run(job)
        except LeaseLostError as error:
            log.error("a job is given up here", job=job.id, kind=job.kind, why=str(error))
