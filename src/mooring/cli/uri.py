"""mooring uri: prints where an attached disk is served over NBD."""

from __future__ import annotations

import sys

from mooring.cli import help_pages, operation, parser, style
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
    arguments.add_argument("--disk-name", required=True)
    parsed, unknown = arguments.parse_known_args(rest)
    if unknown:
        raise CommandError(f"Unknown options: {', '.join(unknown)}", "usage")
    v2 = style.is_v2(session.environ, session)
    client = operation.open_client(model, options, session, lambda value: value, v2)
    address = client.ask("uri", {"diskName": parsed.disk_name}, "the URI").get("uri")
    if address is None:
        raise CommandError(f"{client.connection.url} does not answer as a Mooring server does.")
    sys.stdout.write(f"{address}\n")
    return 0


def _show_help() -> int:
    return help_pages.show_own(
        "uri - print where an attached disk is served",
        "mooring uri --disk-name <string>",
        [
            "Prints the NBD URI of a disk that is attached to a running instance. Whatever speaks "
            'NBD takes it: nbdinfo "$(mooring uri --disk-name my-disk)", nbdcopy, QEMU\'s '
            "-drive file=..., nbdfuse.",
        ],
        {"--disk-name <string>": "The name of the disk."},
    )
