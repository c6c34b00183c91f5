"""A server of several, which falls at one moment of a copy; a process.

It tells of each step in the file `steps` beside its data directory. Its disks are in memory.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from mooring.admin.serving.serve import serve
from mooring.config.load import load
from mooring.jobs.running import leases
from mooring.jobs.table import PROCEDURES
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.vault.writing.writer import SnapshotWriter
from tests.e2e.moments import surround

LEASE_MS = 3000
"""Short enough for a test to wait for its end."""

MOMENTS = ("copy:begin", "commit:begin", "commit:done", "copy:done", "copy:recorded")
"""Before the step of a copy; before and after its root is written; after the step; recorded."""


def main() -> int:
    """Serve on a free port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moment", choices=MOMENTS)
    parser.add_argument("--signal", choices=("KILL", "STOP"), default="KILL")
    parser.add_argument("--copies", choices=("yes", "no"), default="yes")
    parser.add_argument("--data", required=True)
    parser.add_argument("--config", required=True)
    options = parser.parse_args()
    leases.LEASE_MS = LEASE_MS
    if options.copies == "no":
        del PROCEDURES[JobKind.COPY_SNAPSHOT]
    steps = os.open(
        Path(options.data).parent / "steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )
    name = Path(options.data).name

    def fall(moment: str) -> None:
        if moment == options.moment:
            options.moment = None
            os.kill(os.getpid(), getattr(signal, f"SIG{options.signal}"))

    def observe(job: Job, step: str, moment: str) -> None:
        os.write(steps, f"{name} {job.kind} {job.id} {step}:{moment}\n".encode())
        if job.kind is JobKind.COPY_SNAPSHOT:
            fall(f"{step}:{moment}")

    if options.copies == "yes":
        surround(fall, SnapshotWriter, "commit", "commit:begin", "commit:done")
    return serve(load(options.config, options.data), port=0, observer=observe)


if __name__ == "__main__":
    sys.exit(main())
