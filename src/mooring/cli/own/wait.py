"""mooring wait: returns when a snapshot, a disk or an operation is ready."""

from __future__ import annotations

from mooring.cli import operation, style, waiting
from mooring.cli.help import pages as help_pages
from mooring.cli.input import parser
from mooring.model.clock import SystemClock
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.cli.connection.client import Client
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options
    from mooring.protocol.service_model import ServiceModel

DEFAULT_TIMEOUT = 3600.0

LONGEST_TIMEOUT = 366 * 24 * 3600
"""Seconds."""

# Each waiter, the option that names the thing, and the state to wait for.
WAITERS = {
    "disk-snapshot-completed": ("--disk-snapshot-name", "completed"),
    "disk-available": ("--disk-name", "available"),
    "disk-in-use": ("--disk-name", "in-use"),
    "disk-filled": ("--disk-name", "filled"),
    "instance-snapshot-available": ("--instance-snapshot-name", "available"),
    "operation-succeeded": ("--operation-id", "succeeded"),
}


def run(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run the command with the arguments in `rest`; the exit code is returned."""
    if not rest or rest[-1] in {"help", "--help", "-h"}:
        return _show_help()
    waiter, rest = parser.take_command(rest, WAITERS)
    option, wanted = WAITERS[waiter]
    arguments = parser.Parser()
    arguments.add_argument(option, required=True, dest="name")
    arguments.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT)
    parsed = arguments.parse_all(rest)
    if not 0 <= parsed.timeout <= LONGEST_TIMEOUT:
        raise CommandError(
            f"--timeout must be 0 to {LONGEST_TIMEOUT} seconds, not {parsed.timeout:g}", "usage"
        )
    v2 = style.is_v2(session.environ, session)
    client = operation.open_client(model, options, session, lambda value: value, v2)
    waiting.wait(
        parsed.name,
        lambda: _ask(client, option, wanted, parsed.name),
        SystemClock(),
        parsed.timeout,
    )
    return 0


def _ask(client: Client, option: str, wanted: str, name: str) -> waiting.State:
    if option == "--disk-snapshot-name":
        return waiting.snapshot_state(client, name)
    if option == "--instance-snapshot-name":
        return waiting.instance_snapshot_state(client, name)
    if option == "--operation-id":
        answer = waiting.show(client, "GetOperation", operationId=name)
        return waiting.operation_state(answer["operation"])
    if wanted == "filled":
        return waiting.filling_state(client, name)
    disk = waiting.show(client, "GetDisk", diskName=name)["disk"]
    state = disk.get("state", "unknown")
    if state == "error":
        raise CommandError(
            f"The disk {name} failed. mooring get-operations-for-resource --resource-name {name} "
            "tells why."
        )
    return waiting.State(state == wanted, state)


def _show_help() -> int:
    synopsis = "\n".join(
        f"mooring wait {name} {option} <string> [--timeout <seconds>]"
        for name, (option, _) in WAITERS.items()
    )
    return help_pages.show_own(
        "wait - return when something is ready",
        synopsis,
        [
            "Asks the server again and again, at first often, then every two seconds. On a "
            "terminal the progress of a snapshot is shown, or how far a disk is filled. The exit "
            "code is 0 when it is ready, 255 if it failed, is not there, or is not ready in time. "
            "A disk made from a snapshot can be used as soon as it is available; from when it is "
            "filled it does not need the snapshot any more.",
            "Users of `aws`, which has no waiters for Lightsail, can ask in a loop: until [ "
            '"$(aws lightsail get-disk-snapshot --disk-snapshot-name NAME --query '
            'diskSnapshot.state --output text)" = completed ]; do sleep 1; done',
        ],
        {"--timeout <seconds>": f"How long to wait at most. Default: {DEFAULT_TIMEOUT:g}."},
    )
