"""mooring fork: makes a disk of another one as it is now."""

from __future__ import annotations

from mooring.cli.own.tags import read_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.own.invocation import Invocation

_MEMBERS = {
    "availabilityZone": "availability_zone",
    "diskSnapshotName": "disk_snapshot_name",
}


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    members: dict[str, Any] = {"diskName": parsed.disk_name, "newDiskName": parsed.new_disk_name}
    for member, option in _MEMBERS.items():
        if (value := getattr(parsed, option)) is not None:
            members[member] = value
    members |= read_tags(invocation.model, parsed.tags)
    client = invocation.client()
    answer = client.act("fork", members, "the fork", ("operations",))
    if parsed.wait:
        from mooring.cli import waiting
        from mooring.model.clock import SystemClock

        name = parsed.new_disk_name
        waiting.wait(name, lambda: waiting.filling_state(client, name), SystemClock(), None)
    invocation.show("ForkDisk", answer)
    return 0
