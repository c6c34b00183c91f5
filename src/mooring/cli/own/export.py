"""mooring export: serves a completed snapshot read-only, or brings it into an image file."""

from __future__ import annotations

import sys

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from mooring.cli.own.invocation import Invocation


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    if parsed.format is not None and parsed.output is None:
        raise CommandError("--format needs --output FILE: where to write the image.", "usage")
    client = invocation.client()
    if parsed.output is not None:
        from mooring.cli.images import image_output
        from mooring.cli.own.granted import granted

        if parsed.tcp:
            raise CommandError("--tcp and --output exclude each other.", "usage")
        return image_output.write(
            granted(client, parsed.disk_snapshot_name, parsed.seconds),
            parsed.disk_snapshot_name,
            parsed.format,
            parsed.output,
        )
    members: dict[str, str | int] = {"diskSnapshotName": parsed.disk_snapshot_name}
    if parsed.tcp:
        members["tcp"] = True
    if parsed.seconds is not None:
        members["seconds"] = parsed.seconds
    from mooring.cli.own.uri import elsewhere

    told = client.act("grant", members, "the export")
    sys.stdout.write(f"{told['uri']}\n")
    host = None if parsed.tcp else elsewhere(told["uri"], told.get("hostName"))
    if host is not None:
        sys.stderr.write(f"That is on the host {host}.\n")
    return 0
