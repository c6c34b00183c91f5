"""mooring grow: makes a disk larger."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from mooring.cli.own.invocation import Invocation


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    client = invocation.client()
    name, size_gb = parsed.disk_name, parsed.size_in_gb
    members = {"diskName": name, "sizeInGb": size_gb}
    answer = client.act("grow", members, "the growth", ("operations",))
    if parsed.wait:
        from mooring.cli import waiting
        from mooring.model.clock import SystemClock

        waiting.wait_for_answer(client, answer, SystemClock())
        sys.stdout.write(f"{name} has {size_gb} GB.\n")
    else:
        operation_id = answer["operations"][0]["id"]
        sys.stdout.write(
            f"{name} grows to {size_gb} GB: mooring wait operation-succeeded "
            f"--operation-id {operation_id}\n"
        )
    return 0
