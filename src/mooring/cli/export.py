"""mooring export: serves a completed snapshot read-only, and prints where."""

from __future__ import annotations

import json
import sys

from mooring.cli import answers, help_pages, operation, parser, style
from mooring.cli.client import ServiceFailure
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.cli.options import Options
    from mooring.cli.session import Session
    from mooring.protocol.service_model import ServiceModel


def run(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run the command with the arguments in `rest`; the exit code is returned."""
    if rest and rest[-1] in {"help", "--help", "-h"}:
        return _show_help()
    arguments = parser.Parser()
    arguments.add_argument("--disk-snapshot-name", required=True)
    arguments.add_argument("--seconds", type=int)
    parsed, unknown = arguments.parse_known_args(rest)
    if unknown:
        raise CommandError(f"Unknown options: {', '.join(unknown)}", "usage")
    v2 = style.is_v2(session.environ, session)
    client = operation.open_client(model, options, session, lambda value: value, v2)
    members = {"diskSnapshotName": parsed.disk_snapshot_name}
    if parsed.seconds is not None:
        members["seconds"] = str(parsed.seconds)
    reply = client.get("export", members)
    failure = answers.failure(reply)
    if failure is not None:
        raise ServiceFailure(
            f"An error occurred ({failure.code}) when asking for the export: {failure.message}",
            str(failure.code),
        )
    try:
        address = json.loads(reply.body)["uri"]
    except (ValueError, KeyError, TypeError):
        raise CommandError(
            f"{client.connection.url} does not answer as a Mooring server does."
        ) from None
    sys.stdout.write(f"{address}\n")
    return 0


def _show_help() -> int:
    return help_pages.show_own(
        "export - read a snapshot without making a disk from it",
        "mooring export --disk-snapshot-name <string> [--seconds <integer>]",
        [
            "Serves a completed snapshot read-only over NBD, on the server's host, for its user "
            "only, and prints the URI. Whatever speaks NBD takes it: nbdcopy, nbdfuse, qemu-img "
            'convert -f raw "$(mooring export --disk-snapshot-name S)" ...',
            "Who is connected can read to the end of the time, even if the snapshot is deleted "
            "meanwhile. After that reads fail.",
        ],
        {
            "--disk-snapshot-name <string>": "The name of the snapshot.",
            "--seconds <integer>": "How long to serve it, up to a day. Default: 3600.",
        },
    )
