"""A server that looks for troubles often, for tests; a process."""

from __future__ import annotations

import argparse
import sys

from mooring.admin.serving.serve import serve
from mooring.config.load import load
from mooring.jobs.running import leases
from mooring.jobs.watching import disks, troubles
from mooring.jobs.watching.troubles import Rhythm
from mooring.model.resources import server

SILENT_MS = 2000
RHYTHM = Rhythm(look_seconds=0.3, tell_seconds=0.1, settle_ms=700, lead_ms=SILENT_MS)


def main() -> int:
    """Serve on a free port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--config", required=True)
    options = parser.parse_args()
    leases.LEASE_MS = server.SILENT_MS = SILENT_MS
    troubles.RHYTHM = RHYTHM
    disks.ROUND_SECONDS = disks.PAUSE_SECONDS = 0.3
    return serve(load(options.config, options.data), port=0)


if __name__ == "__main__":
    sys.exit(main())
