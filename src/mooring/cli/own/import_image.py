"""mooring import: makes a snapshot, or a blueprint, from an image file."""

from __future__ import annotations

import sys

from mooring.cli.own.ending import tidy_up_when_ended
from mooring.cli.own.tags import read_tags
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.own.invocation import Invocation

_GIB = 1024**3
_LEAST_GB = 8
_MOST_GB = 16384


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    name = _name(parsed)
    if parsed.file is None:
        from mooring.cli.own import blueprints

        return blueprints.of_snapshot(invocation, parsed)
    from mooring.cli.images import image_check
    from mooring.cli.images.served_file import Place, ServedFile

    driver = image_check.FORMATS.get(parsed.format)
    if driver is None:
        known = ", ".join(image_check.FORMATS)
        problem = (
            "Name the format of the image with --format"
            if parsed.format is None
            else f"Mooring does not read {parsed.format!r}"
        )
        raise CommandError(f"{problem}: choose one of {known}.", "usage")
    tags = read_tags(invocation.model, parsed.tags)
    client = invocation.client()
    tidy_up_when_ended()
    import os

    fd = image_check.open_image(parsed.file)
    try:
        image_check.check(fd, parsed.file, parsed.format)
        keys = ("place", "folder", "socket", "export")
        told = client.act("import-place", {}, "a place to import from", keys)
        folder, socket, export = (str(told[key]) for key in keys[1:])
        place = Place(folder, socket, export, told.get("hostName") or "")
        with ServedFile(fd, parsed.file, driver, place) as served:
            size_gb = _size_gb(parsed.file, served.size, parsed.disk_size_in_gb)
            members = {
                "diskSnapshotName": name,
                "place": str(told["place"]),
                "sizeInGb": size_gb,
                **tags,
            }
            if parsed.blueprint_id is not None:
                members["blueprintPlatform"] = parsed.platform or "linux"
            _import(client, members)
    finally:
        os.close(fd)
    if parsed.blueprint_id is not None:
        from mooring.cli.own import blueprints

        sys.stdout.write(blueprints.told(parsed.file, name))
        return 0
    sys.stdout.write(
        f"{parsed.file} is the snapshot {name} of {size_gb} GB: mooring "
        f"create-disk-from-snapshot --disk-snapshot-name {name} ...\n"
    )
    return 0


def _name(parsed: Namespace) -> str:
    """The name of what is made. Raises CommandError unless the options go together."""
    snapshot, blueprint = parsed.disk_snapshot_name, parsed.blueprint_id
    if blueprint is None:
        if parsed.platform is not None:
            raise CommandError("--platform is for blueprints: give --blueprint-id, too.", "usage")
        if parsed.file is None:
            raise CommandError("Name the image file to read.", "usage")
        if snapshot is None:
            raise CommandError(
                "Name what is made: --disk-snapshot-name, or --blueprint-id for a blueprint.",
                "usage",
            )
        return str(snapshot)
    if parsed.file is None:
        if snapshot is None:
            raise CommandError(
                "Name what the blueprint is made of: an image file, or --disk-snapshot-name.",
                "usage",
            )
        if parsed.format is not None or parsed.disk_size_in_gb is not None:
            raise CommandError(
                "--format and --disk-size-in-gb are for image files; a snapshot has its size.",
                "usage",
            )
    elif snapshot is not None:
        raise CommandError(
            "An image file becomes a snapshot or a blueprint: give --disk-snapshot-name or "
            "--blueprint-id, not both.",
            "usage",
        )
    return str(blueprint)


def _size_gb(path: str, size: int, wanted: int | None) -> int:
    """The size of the disk that the snapshot is of, in whole GB."""
    needed = max(_LEAST_GB, -(-size // _GIB))
    if not size:
        raise CommandError(f"{path} is empty.")
    if needed > _MOST_GB:
        raise CommandError(
            f"{path} is the image of a disk of {needed} GB, but disks have at most {_MOST_GB} GB."
        )
    if wanted is None:
        return needed
    if not needed <= wanted <= _MOST_GB:
        least = f"{path} needs" if needed > _LEAST_GB else "disks have"
        limit = (
            f"{least} at least {needed} GB"
            if wanted < needed
            else f"disks have at most {_MOST_GB} GB"
        )
        raise CommandError(f"--disk-size-in-gb {wanted} is not possible: {limit}.")
    return wanted


def _import(client: Client, members: dict[str, Any]) -> None:
    """Have the server read the image; nothing is left of it if that fails or is interrupted."""
    from mooring.cli import waiting
    from mooring.cli.connection.client import ServiceFailure
    from mooring.model.clock import SystemClock

    name = members["diskSnapshotName"]
    answer = client.act("import", members, "the import")
    operation_id = answer["operations"][0]["id"]

    def ask() -> waiting.State:
        found = waiting.show(client, "GetOperation", operationId=operation_id)["operation"]
        state = waiting.operation_state(found)
        if state.done:
            return state
        try:
            told = waiting.snapshot_state(client, name)
        except ServiceFailure:
            return state  # it has ended just now; the operation tells how
        return waiting.State(False, state.words, told.fraction, None)

    try:
        waiting.wait(name, ask, SystemClock(), None, heard=True)
    except KeyboardInterrupt:
        if "blueprintPlatform" in members:
            client.act("delete-blueprint", {"blueprintId": name}, "the deletion")
        else:
            client.call(client.model.operations["DeleteDiskSnapshot"], {"diskSnapshotName": name})
        sys.stderr.write(f"canceled: there is no snapshot {name}\n")
        raise
