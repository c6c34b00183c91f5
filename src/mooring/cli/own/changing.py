"""mooring grow, revert, move-instance and move-disk: change what there is."""

from __future__ import annotations

import sys

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.own.invocation import Invocation


def run_grow(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring grow`; the exit code is returned."""
    client = invocation.client()
    name, size_gb = parsed.disk_name, parsed.size_in_gb
    members = {"diskName": name, "sizeInGb": size_gb}
    answer = client.act("grow", members, "the growth", ("operations",))
    if told := answer["operations"][0].get("operationDetails"):
        sys.stderr.write(f"{told}. Whoever connects again finds the new size.\n")
    if parsed.wait:
        from mooring.cli import waiting
        from mooring.model.clock import SystemClock

        answer = waiting.wait_for_answer(client, answer, SystemClock())
    if invocation.is_for_programs:
        invocation.show("GrowDisk", answer)
    elif parsed.wait:
        sys.stdout.write(f"{name} has {size_gb} GB.\n")
    else:
        operation_id = answer["operations"][0]["id"]
        sys.stdout.write(
            f"{name} grows to {size_gb} GB: mooring wait operation-succeeded "
            f"--operation-id {operation_id}\n"
        )
    return 0


def run_revert(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring revert`; the exit code is returned."""
    name = parsed.disk_name
    if parsed.discard and parsed.kept_snapshot_name is not None:
        raise CommandError(
            "--kept-snapshot-name and --discard exclude each other: what the disk holds is kept, "
            "or given up.",
            "usage",
        )
    members: dict[str, Any] = {"diskName": name, "diskSnapshotName": parsed.disk_snapshot_name}
    if parsed.kept_snapshot_name is not None:
        members["keptSnapshotName"] = parsed.kept_snapshot_name
    if parsed.discard:
        members["discard"] = True
    client = invocation.client()
    answer = client.act("revert", members, "the revert", ("operations", "keptSnapshotName"))
    kept = answer["keptSnapshotName"]
    if kept is None:
        told = f"What {name} held before was given up.\n"
    else:
        told = f"What {name} held before is kept as the snapshot {kept}.\n"
    sys.stderr.write(told)
    if parsed.wait:
        from mooring.cli import waiting
        from mooring.model.clock import SystemClock

        clock = SystemClock()
        answer = waiting.wait_for_answer(client, answer, clock)
        waiting.wait(name, lambda: waiting.filling_state(client, name), clock, None)
    invocation.show("RevertDisk", answer)
    return 0


def run_move_instance(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring move-instance`; the exit code is returned."""
    members = {"instanceName": parsed.instance_name, "hostName": parsed.host}
    return _move(invocation, "move-instance", members, parsed)


def run_move_disk(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring move-disk`; the exit code is returned."""
    members = {"diskName": parsed.disk_name, "hostName": parsed.host}
    return _move(invocation, "move-disk", members, parsed)


def _move(
    invocation: Invocation, request: str, members: dict[str, object], parsed: Namespace
) -> int:
    client = invocation.client()
    answer = client.act(request, members, "the move", ("operations", "snapshotName"))
    snapshot = answer["snapshotName"]
    if snapshot is not None:
        sys.stderr.write(f"It is moved by the snapshot {snapshot}, which is kept.\n")
    if parsed.wait:
        from mooring.cli import waiting
        from mooring.model.clock import SystemClock

        answer = waiting.wait_for_answer(client, answer, SystemClock())
    invocation.show("MoveInstance" if "instanceName" in members else "MoveDisk", answer)
    return 0
