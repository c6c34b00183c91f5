"""mooring fork: makes a copy of a disk or an instance as it is now."""

from __future__ import annotations

from mooring.cli.own.tags import read_tags
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.own.invocation import Invocation

_OF_DISK = {
    "diskName": "disk_name",
    "newDiskName": "new_disk_name",
    "availabilityZone": "availability_zone",
    "diskSnapshotName": "disk_snapshot_name",
    "sizeInGb": "size_in_gb",
}
_OF_INSTANCE = {
    "instanceName": "instance_name",
    "newInstanceName": "new_instance_name",
    "instanceSnapshotName": "instance_snapshot_name",
}


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    members = _members(parsed, _OF_DISK)
    request = "fork"
    if "diskName" not in members:
        members, others = _members(parsed, _OF_INSTANCE), members
        request = "fork-instance"
    else:
        others = _members(parsed, _OF_INSTANCE)
    _check(members, others)
    members |= read_tags(invocation.model, parsed.tags)
    client = invocation.client()
    expected = ("operations",) if request == "fork" else ("operations", "disks")
    answer = client.act(request, members, "the fork", expected)
    if parsed.wait:
        made = [one["diskName"] for one in answer.get("disks", [])] or [parsed.new_disk_name]
        _wait(client, made)
    invocation.show("ForkDisk" if request == "fork" else "ForkInstance", answer)
    return 0


def _members(parsed: Namespace, options: dict[str, str]) -> dict[str, Any]:
    """What was given of these, by the names of the request's members."""
    given = {member: getattr(parsed, option) for member, option in options.items()}
    return {member: value for member, value in given.items() if value is not None}


def _check(members: dict[str, Any], others: dict[str, Any]) -> None:
    """Raise CommandError unless this is a disk with its fork, or an instance with its own."""
    named = members.keys() & {"diskName", "instanceName"}
    made = members.keys() & {"newDiskName", "newInstanceName"}
    if not named or not made or others:
        raise CommandError(
            "Give --disk-name and --new-disk-name, or --instance-name and --new-instance-name "
            "(a fork of an instance is in its zone, and its disks have the sizes they have).",
            "usage",
        )


def _wait(client: Client, names: list[str]) -> None:
    from functools import partial

    from mooring.cli import waiting
    from mooring.model.clock import SystemClock

    for name in names:
        waiting.wait(name, partial(waiting.filling_state, client, name), SystemClock(), None)
