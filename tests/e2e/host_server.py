"""A server that is a host, and falls at a job's moment; a process.

Its waits are short, unless the usual ones are asked for. It tells of each step in the file `steps`
beside its data directory.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from mooring.admin.serving.serve import serve
from mooring.api.passing import passing
from mooring.config.load import load
from mooring.jobs.running import leases
from mooring.jobs.watching import fencing
from mooring.jobs.watching import hosts as watching
from mooring.model.resources import host
from mooring.model.resources.job import Job

LEASE_MS, SILENT_MS = 3000, 3000
"""Short enough for a test to wait for their end."""

BEGIN_SECONDS, ANSWER_SECONDS = 2.0, 4.0


def main() -> int:
    """Serve on a free port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moment", default="")
    parser.add_argument("--signal", choices=("KILL", "STOP"), default="KILL")
    parser.add_argument("--host-only", action="store_true")
    parser.add_argument("--usual-waits", action="store_true")
    parser.add_argument("--data", required=True)
    parser.add_argument("--config", required=True)
    options = parser.parse_args()
    if not options.usual_waits:
        leases.LEASE_MS = LEASE_MS
        host.SILENT_MS = SILENT_MS
        fencing.AGAIN_SECONDS = 1.0
        watching.BEAT_SECONDS = SILENT_MS / 4000
        passing.BEGIN_SECONDS, passing.ANSWER_SECONDS = BEGIN_SECONDS, ANSWER_SECONDS
    data = Path(options.data)
    steps = os.open(data.parent / "steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def observe(job: Job, step: str, moment: str) -> None:
        told = f"{job.kind}:{step}:{moment}"
        os.write(steps, f"{data.name} {job.id} {told}\n".encode())
        if told == options.moment:
            options.moment = ""
            os.kill(os.getpid(), getattr(signal, f"SIG{options.signal}"))

    return serve(
        load(options.config, options.data), port=0, observer=observe, host_only=options.host_only
    )


if __name__ == "__main__":
    sys.exit(main())
