"""Blueprints of one's own: made of a snapshot, and deleted."""

from __future__ import annotations

import sys

from mooring.cli.own.tags import read_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.own.invocation import Invocation


def of_snapshot(invocation: Invocation, parsed: Namespace) -> int:
    """Make a blueprint of a snapshot; return when it can be used."""
    from mooring.cli import waiting
    from mooring.model.clock import SystemClock

    name = parsed.blueprint_id
    members: dict[str, Any] = {
        "blueprintId": name,
        "diskSnapshotName": parsed.disk_snapshot_name,
        **read_tags(invocation.model, parsed.tags),
    }
    if parsed.platform is not None:
        members["platform"] = parsed.platform
    client = invocation.client()
    client.act("blueprint", members, "the blueprint", ("operations",))
    waiting.wait(name, lambda: waiting.snapshot_state(client, name), SystemClock(), None)
    sys.stdout.write(told(parsed.disk_snapshot_name, name))
    return 0


def run_delete(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    client = invocation.client()
    members = {"blueprintId": parsed.blueprint_id}
    answer = client.act("delete-blueprint", members, "the deletion", ("operations",))
    invocation.show("DeleteDiskSnapshot", answer)
    return 0


def told(source: str, blueprint_id: str) -> str:
    """What is said of a blueprint that can be used."""
    return (
        f"{source} is the blueprint {blueprint_id}: mooring create-instances --blueprint-id "
        f"{blueprint_id} --bundle-id external ...\n"
    )
