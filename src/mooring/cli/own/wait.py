"""mooring wait: returns when a snapshot, a disk or an operation is ready."""

from __future__ import annotations

from functools import partial

from mooring.cli import waiting
from mooring.model.clock import SystemClock
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from mooring.cli.connection.client import Client
    from mooring.cli.own.invocation import Invocation

LONGEST_TIMEOUT = 366 * 24 * 3600
"""Seconds."""


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    if not 0 <= parsed.timeout <= LONGEST_TIMEOUT:
        raise CommandError(
            f"--timeout must be 0 to {LONGEST_TIMEOUT} seconds, not {parsed.timeout:g}", "usage"
        )
    client = invocation.client()
    state = WAITERS[parsed.choice]
    waiting.wait(parsed.name, lambda: state(client, parsed.name), SystemClock(), parsed.timeout)
    return 0


def _disk_state(client: Client, name: str, *, wanted: str) -> waiting.State:
    disk = waiting.show(client, "GetDisk", diskName=name)["disk"]
    state = disk.get("state", "unknown")
    if state == "error":
        raise CommandError(
            f"The disk {name} failed. mooring get-operations-for-resource --resource-name {name} "
            "says why."
        )
    return waiting.State(state == wanted, state)


def _operation_state(client: Client, operation_id: str) -> waiting.State:
    answer = waiting.show(client, "GetOperation", operationId=operation_id)
    return waiting.operation_state(answer["operation"])


# How what is waited for is, by the word that says what that is.
WAITERS: dict[str, Callable[[Client, str], waiting.State]] = {
    "disk-snapshot-completed": waiting.snapshot_state,
    "disk-available": partial(_disk_state, wanted="available"),
    "disk-in-use": partial(_disk_state, wanted="in-use"),
    "disk-filled": waiting.filling_state,
    "instance-snapshot-available": waiting.instance_snapshot_state,
    "operation-succeeded": _operation_state,
}
