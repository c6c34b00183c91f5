"""mooring uri and mooring device: print where an attached disk is."""

from __future__ import annotations

import sys

from mooring.cli import operation, style
from mooring.cli.help import pages as help_pages
from mooring.cli.input import parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options
    from mooring.protocol.service_model import ServiceModel


def run(
    model: ServiceModel, question: str, rest: list[str], options: Options, session: Session
) -> int:
    """Ask `question`, `uri` or `device`, with the arguments in `rest`; returns the exit code."""
    if rest and rest[-1] in {"help", "--help", "-h"}:
        return _show_help(question)
    arguments = parser.Parser()
    arguments.add_argument("--disk-name", required=True)
    parsed = arguments.parse_all(rest)
    v2 = style.is_v2(session.environ, session)
    client = operation.open_client(model, options, session, lambda value: value, v2)
    # A device that was broken is made anew.
    request = client.act if question == "device" else client.ask
    told = request(question, {"diskName": parsed.disk_name}, f"the {_SHOWN[question]}")
    address = told.get(question)
    if address is None:
        raise client.misunderstood()
    sys.stdout.write(f"{address}\n")
    return 0


_SHOWN = {"uri": "URI", "device": "device"}


def _show_help(question: str) -> int:
    if question == "device":
        return help_pages.show_own(
            "device - print which block device of this host a disk is",
            "mooring device --disk-name <string>",
            [
                "Prints the path of the block device that a disk is while it is attached to a "
                "running instance of the blueprint host, which stands for the host of the server "
                'itself: mount "$(mooring device --disk-name my-disk)" /mnt.',
                "The path may be another one after the host was started again.",
            ],
            {"--disk-name <string>": "The name of the disk."},
        )
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
