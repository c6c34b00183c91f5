"""The server, which brings death at one moment of a snapshot; run as a process.

Once armed, it kills itself, or the storage daemons, or both at once, when a
request or a job gets to the moment named on the command line.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from mooring.admin.serving.serve import serve
from mooring.backend.backend import Backend
from mooring.config.load import load
from mooring.engine.qemu.daemon.open_layers import OpenLayers
from mooring.engine.qemu.engine import QemuEngine
from mooring.jobs.table import PROCEDURES
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.service import table
from mooring.service.call import Call, Result
from mooring.vault.reading.reader import SnapshotReader
from mooring.vault.writing.writer import SnapshotWriter
from tests.e2e.moments import ARMED, surround
from tests.e2e.processes import storage_daemons

REQUEST_MOMENTS = (
    "request:reserved",
    "request:prepared",
    "request:switched",
    "request:frozen",
    "request:recorded",
)
"""Of the request: the first transaction is over; the overlay is there, not yet on top; it is
on top; the freeze has returned; the second transaction is over, the reply not yet sent."""

JOB_MOMENTS = (
    *(
        f"{step.name}:{moment}"
        for step in PROCEDURES[JobKind.UPLOAD_SNAPSHOT].steps
        for moment in ("begin", "done", "recorded")
    ),
    "store:written",
    "release:begin",
    "release:done",
)
"""Of the job: before each step, after it, and after it is recorded; between the last block written
to the vault and the root; and before and after the engine is told that the point is stored."""

RESTORE_MOMENTS = tuple(f"restore:{moment}" for moment in ("begin", "done", "recorded"))
"""Of the job that makes an instance from a snapshot."""

COPY_MOMENTS = ("copy:begin", "copy:read-3", "copy:done", "copy:recorded")
"""Of the job that copies a snapshot: before its step; before it reads the source for the third
time; after the step; and after it is recorded."""

LEAVING_MOMENTS = ("leave:begin", "leave:done")
"""Of the job that serves a deleted instance's disks no more: before its step, and after it."""

MOMENTS = (*REQUEST_MOMENTS, *JOB_MOMENTS, *RESTORE_MOMENTS, *COPY_MOMENTS, *LEAVING_MOMENTS)

VICTIMS = ("server", "daemon", "both")


def arm(data: Path) -> None:
    """Let the next snapshot be the one."""
    (data / ARMED).touch()


class Death:
    """Comes once, when it is armed and the moment is there."""

    def __init__(self, moment: str, victim: str, data: Path) -> None:
        self._moment = moment
        self._victim = victim
        self._data = data
        self._armed = data / ARMED

    def at(self, moment: str) -> None:
        """Tell that the moment is there."""
        if moment != self._moment or not self._armed.exists():
            return
        self._armed.unlink()
        daemons = storage_daemons(self._data / "run") if self._victim != "server" else {}
        for daemon in daemons.values():
            os.kill(daemon.pid, signal.SIGKILL)
        if self._victim != "daemon":
            # At once: nothing here may notice that the daemons are dead.
            os.kill(os.getpid(), signal.SIGKILL)
        for daemon in daemons.values():
            daemon.wait(10)
            daemon.close()

    def observe(self, job: Job, step: str, moment: str) -> None:
        """An observer of the job runner."""
        if job.kind is JobKind.UPLOAD_SNAPSHOT:
            self.at(f"{step}:{moment}")
        if job.kind is JobKind.RESTORE_INSTANCE:
            self.at(f"restore:{moment}")
        if job.kind is JobKind.DELETE_INSTANCE:
            self.at(f"leave:{moment}")
        if job.kind is JobKind.COPY_SNAPSHOT:
            self.at(f"copy:{moment}")


def main() -> int:
    """Serve on a free port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moment", required=True, choices=MOMENTS)
    parser.add_argument("--victim", required=True, choices=VICTIMS)
    parser.add_argument("--data", required=True)
    parser.add_argument("--config")
    options = parser.parse_args()
    death = Death(options.moment, options.victim, Path(options.data))
    surround(death.at, OpenLayers, "snapshot", "request:prepared", "request:switched")
    surround(death.at, QemuEngine, "freeze", "request:reserved", "request:frozen")
    surround(death.at, SnapshotWriter, "commit", "store:written", None)
    surround(death.at, QemuEngine, "release", "release:begin", "release:done")
    reads = itertools.count(1)
    surround(
        lambda moment: death.at(f"{moment}-{next(reads)}"),
        SnapshotReader,
        "read",
        "copy:read",
        None,
    )
    create = table.OPERATIONS["CreateDiskSnapshot"]

    def create_and_die(backend: Backend, call: Call) -> Result:
        result = create.function(backend, call)
        death.at("request:recorded")
        return result

    table.OPERATIONS["CreateDiskSnapshot"] = replace(create, function=create_and_die)
    return serve(load(options.config, options.data), port=0, observer=death.observe)


if __name__ == "__main__":
    sys.exit(main())
