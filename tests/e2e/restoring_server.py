"""The server, which dies at one moment of a restore or revert; a process.

Armed by a file in the data directory, it kills itself, or also what serves the snapshots and the
disks, when a job gets to the moment named on the command line.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from mooring.admin.serving.serve import serve
from mooring.config.load import load
from mooring.engine.qemu import filling, reverting
from mooring.engine.qemu.daemon.open_layers import OpenLayers
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.host.pace import Pace
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.service.own import reverts as own_reverts
from tests.e2e import processes
from tests.e2e.moments import ARMED, surround

JOB_MOMENTS = (
    "clone:begin",
    "clone:made",
    "clone:done",
    "clone:recorded",
    "fill:begin",
    "fill:half",
    "fill:copied",
    "fill:named",
    "fill:switched",
    "fill:done",
    "fill:recorded",
)
"""`made`: the base is there, the overlay is not; `half`: of the data; `copied`: all of them, but
the base has not its name; `named`: it has, but the daemon does not use it; `switched`: it does."""

REVERT_MOMENTS = (
    "revert:begin",
    "revert:staged",
    "revert:closed",
    "revert:frozen",
    "revert:switched",
    "revert:opened",
    "revert:done",
    "revert:confirmed",
)
"""`staged`: the new layers are there, but not the disk's; `closed`: nobody has the old ones open;
`frozen`: what they hold is a point; `switched`: the new ones are the disk's; `opened`: and served;
`confirmed`: this is recorded, but not answered."""

VICTIMS = ("server", "all")


class Death:
    """Comes once, when it is armed and the moment is there."""

    def __init__(self, moment: str, victim: str, data: Path) -> None:
        self._moment = moment
        self._victim = victim
        self._data = data

    def at(self, moment: str) -> None:
        if moment != self._moment or not (self._data / ARMED).exists():
            return
        (self._data / ARMED).unlink()
        if self._victim == "all":
            for pid in processes.naming(self._data):
                if pid != os.getpid():
                    os.kill(pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def observe(self, job: Job, step: str, moment: str) -> None:
        """An observer of the job runner."""
        if job.kind in (JobKind.CLONE_DISK, JobKind.FILL_DISK):
            self.at(f"{step}:{moment}")


def main() -> int:
    """Serve on a free port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moment", default="", choices=["", *JOB_MOMENTS, *REVERT_MOMENTS])
    parser.add_argument("--victim", default="server", choices=VICTIMS)
    parser.add_argument("--fill-mib", type=int, default=0)
    parser.add_argument("--key-file", default="")
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    death = Death(options.moment, options.victim, Path(options.data))
    surround(death.at, DiskLayers, "begin_lazy_base", None, "clone:made")
    surround(death.at, DiskLayers, "finish_base", "fill:copied", "fill:named")
    surround(death.at, OpenLayers, "switch_to_base", None, "fill:switched")
    surround(death.at, DiskLayers, "begin_lazy_base", None, "revert:staged")
    surround(death.at, OpenLayers, "drop", None, "revert:closed")
    surround(death.at, reverting, "_freeze", None, "revert:frozen")
    surround(death.at, reverting, "_switch", None, "revert:switched")
    surround(death.at, OpenLayers, "add", None, "revert:opened")
    surround(death.at, QemuEngine, "revert", "revert:begin", "revert:done")
    surround(death.at, own_reverts, "revert_or_take_back", None, "revert:confirmed")
    pieces = 0

    class MortalPace(Pace):
        def spend(self, count: int) -> None:
            nonlocal pieces
            super().spend(count)
            pieces += 1
            if pieces == 4:
                death.at("fill:half")

    filling.Pace = MortalPace  # type: ignore[attr-defined]
    settings = load(None, options.data)
    settings = replace(
        settings, engine=replace(settings.engine, fill_mib_per_second=options.fill_mib)
    )
    regions = {
        name: replace(region, key_file=options.key_file)
        for name, region in settings.regions.items()
    }
    settings = replace(settings, regions=regions)
    return serve(settings, port=0, observer=death.observe)


if __name__ == "__main__":
    sys.exit(main())
