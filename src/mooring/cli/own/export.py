"""mooring export: serves a completed snapshot read-only, or brings it into an image file."""

from __future__ import annotations

import sys

from mooring.cli import operation, style
from mooring.cli.help import pages as help_pages
from mooring.cli.input import parser
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options
    from mooring.protocol.service_model import ServiceModel


def run(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run the command with the arguments in `rest`; the exit code is returned."""
    if rest and rest[-1] in {"help", "--help", "-h"}:
        return _show_help()
    arguments = parser.Parser()
    arguments.add_argument("--disk-snapshot-name", required=True)
    arguments.add_argument("--seconds", type=int)
    arguments.add_argument("--tcp", action="store_true")
    arguments.add_argument("--format", dest="image_format")
    arguments.add_argument("--output", "--output-file", dest="output_file")
    parsed = arguments.parse_all(rest)
    if parsed.image_format is not None and parsed.output_file is None:
        raise CommandError("--format needs --output FILE: where to write the image.", "usage")
    v2 = style.is_v2(session.environ, session)
    client = operation.open_client(model, options, session, lambda value: value, v2)
    if parsed.output_file is not None:
        from mooring.cli.images import image_output
        from mooring.cli.own.granted import granted

        if parsed.tcp:
            raise CommandError("--tcp and --output exclude each other.", "usage")
        return image_output.write(
            granted(client, parsed.disk_snapshot_name, parsed.seconds),
            parsed.disk_snapshot_name,
            parsed.image_format,
            parsed.output_file,
        )
    members: dict[str, str | int] = {"diskSnapshotName": parsed.disk_snapshot_name}
    if parsed.tcp:
        members["tcp"] = True
    if parsed.seconds is not None:
        members["seconds"] = parsed.seconds
    sys.stdout.write(f"{client.act('grant', members, 'the export')['uri']}\n")
    return 0


def _show_help() -> int:
    return help_pages.show_own(
        "export - read a snapshot without making a disk from it",
        "mooring export --disk-snapshot-name <string> [--seconds <integer>] [--tcp]\n"
        "mooring export --disk-snapshot-name <string> --output <file> "
        "[--format raw|qcow2|vmdk]",
        [
            "Serves a completed snapshot read-only over NBD, on the server's host, for its user "
            "only, and prints the URI. Whatever speaks NBD takes it: nbdcopy, nbdfuse, qemu-img "
            'convert -f raw "$(mooring export --disk-snapshot-name S)" ...',
            "Who is connected can read to the end of the time, even if the snapshot is deleted "
            "meanwhile. After that reads fail.",
            "With --output, writes the snapshot into a new image file instead: sparse, with "
            "progress on a terminal, and compared with the snapshot before it gets its name. "
            "Nothing is ever overwritten. The format is that of the file's name, such as .qcow2, "
            "unless --format names another. Until then it is FILE.part; when it was interrupted, "
            "the same command continues a raw image and begins others anew. qcow2 and vmdk are "
            "written by qemu-img.",
        ],
        {
            "--disk-snapshot-name <string>": "The name of the snapshot; of an automatic one "
            "DISK@latest, DISK@yesterday, or DISK@ and its moment or the beginning of that.",
            "--seconds <integer>": "How long to serve it, up to a day. Default: 3600, and a day "
            "with --output.",
            "--tcp": "For other hosts: over TCP with TLS, where the server is set up for that.",
            "--output <file>": "The image file to write.",
            "--format <string>": "raw, qcow2 or vmdk. Default: what the name of the file ends in, "
            "else raw.",
        },
    )
