"""mooringd fence and mooringd restore-host: what to do when a host is lost."""

from __future__ import annotations

import sys

from mooring.admin.access.env import variables
from mooring.admin.asking import act
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted


def fence(settings: Settings, name: str, *, force: bool) -> int:
    """Fence a host, or a server that is none, through the server of the data directory.

    Raises ConfigurationError.
    """
    members = {"hostName": name, "force": force}
    told = act(variables(settings), "fence", SystemClock(), **members)
    if not told["isHost"]:
        jobs = counted(told["jobsEnded"], "job")
        print(f"The server {name}, which is no host, is given up; {jobs} of it ended.")
        sys.stdout.flush()
        return 0
    jobs = counted(told["jobsEnded"], "job")
    print(
        f"The host {name} is fenced; {jobs} of it ended. To restore what it had on other hosts: "
        f"mooringd restore-host {name}"
    )
    for zone in told["notShutOut"]:
        print(
            f"No other host that reaches the layers of the zone {zone} is up: {name} is shut out "
            "of them when one is, by restore-host."
        )
    sys.stdout.flush()
    return 0


def restore_host(settings: Settings, name: str, target: str | None) -> int:
    """Restore what a fenced host had; 1 if something had to be left. Raises ConfigurationError."""
    members = {"hostName": name} if target is None else {"hostName": name, "targetName": target}
    told = act(variables(settings), "restore-host", SystemClock(), **members)
    for one in told["restored"]:
        snapshots = ", ".join(one["snapshotNames"]) or "nothing, for it has no disks"
        origin = "as it was" if one["asItWas"] else f"from {snapshots}"
        print(f"{one['name']}: to {one['hostName']}, {origin}")
    for one in told["left"]:
        print(f"{one['name']}: left. {one['why']}")
    if not told["restored"] and not told["left"]:
        print(f"The host {name} has nothing that could be restored.")
    sys.stdout.flush()
    return 1 if told["left"] else 0
