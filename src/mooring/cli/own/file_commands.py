"""mooring ls and mooring cp: files out of a snapshot."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager

from mooring.cli.connection.client import ServiceFailure
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from mooring.cli.connection.client import Client
    from mooring.cli.files.file_system import Node
    from mooring.cli.files.snapshot_files import SnapshotFiles
    from mooring.cli.own.invocation import Invocation

_SHOWN = 6


def run_ls(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring ls`; the exit code is returned."""
    snapshot, path = _place(parsed)
    with _opened(invocation, snapshot, parsed.partition) as files:
        _tell_how_current(files)
        node = files.find(path)
        if not node.is_directory:
            sys.stdout.write(f"{_line(files, node)}\n")
            return 0
        for child in files.entries(path, node):
            sys.stdout.write(f"{_line(files, child)}\n")
    return 0


def run_cp(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring cp`; the exit code is returned."""
    *place, local = parsed.places
    parsed.place = place[0] if place else None
    if len(place) > 1:
        raise CommandError(f"Unknown options: {', '.join(place[1:])}", "usage")
    if parsed.place is None and parsed.disk_snapshot_name is None:
        raise CommandError(f"Name where to copy it to: mooring cp {local} .", "usage")
    snapshot, path = _place(parsed)
    with _opened(invocation, snapshot, parsed.partition) as files:
        from mooring.cli.files.copying import Copier

        _tell_how_current(files)
        node = files.find(path)
        if os.path.isdir(local):  # noqa: PTH112 - the name may hold any bytes
            folder, name = local, node.name or os.fsencode(snapshot.replace("/", "-"))
        else:
            folder, last = os.path.split(local.rstrip("/"))
            folder, name = folder or ".", os.fsencode(last)
        target = os.path.join(os.fsencode(folder), name)  # noqa: PTH118
        if os.path.lexists(target):
            sys.stderr.write(
                f"{os.fsdecode(target)} exists already, and nothing is written over: "
                "name another place, or take it away first\n"
            )
            return 1
        copier = Copier(files)
        copier.copy(node, folder, name)
    return 1 if copier.failures else 0


def _place(parsed: Namespace) -> tuple[str, str]:
    from mooring.model.automatic.moment import split_place

    if parsed.disk_snapshot_name is not None:
        if parsed.place is not None:
            raise CommandError("Name the snapshot once: first or with the option.", "usage")
        return parsed.disk_snapshot_name, parsed.path or "/"
    if not parsed.place:
        raise CommandError("Name a snapshot: SNAPSHOT:PATH, or --disk-snapshot-name.", "usage")
    snapshot, path = split_place(parsed.place)
    if not snapshot:
        raise CommandError(
            f"{parsed.place} names no snapshot before the colon: SNAPSHOT:PATH.", "usage"
        )
    return snapshot, parsed.path or path


@contextmanager
def _opened(
    invocation: Invocation, snapshot: str, partition: int | None
) -> Iterator[SnapshotFiles]:
    from mooring.cli.files.snapshot_files import snapshot_files
    from mooring.cli.own.granted import granted

    client = invocation.client()
    with ExitStack() as stack:
        try:
            told = stack.enter_context(granted(client, snapshot))
        except ServiceFailure as error:
            if error.error_code != "NotFoundException":
                raise
            raise CommandError(f"{error}{_if_a_disk(client, snapshot)}", "service") from None
        name = told.get("diskSnapshotName", snapshot)
        yield stack.enter_context(snapshot_files(told["uri"], name, partition))


def _if_a_disk(client: Client, name: str) -> str:
    """What to say of a name that no snapshot has: perhaps a disk has it."""
    operations = client.model.operations
    try:
        client.call(operations["GetDisk"], {"diskName": name})
        told = client.call(operations["GetDiskSnapshots"], {})["diskSnapshots"]
    except CommandError:
        return ""
    own = sorted(
        (one for one in told if one.get("fromDiskName") == name and one["state"] == "completed"),
        key=lambda one: one["createdAt"],
    )
    newest = "".join(f"\n  {one['name']}" for one in own[:-_SHOWN:-1])
    try:
        automatic = client.call(operations["GetAutoSnapshots"], {"resourceName": name})
    except CommandError:
        automatic = {}
    stored = [one for one in automatic.get("autoSnapshots", []) if one["status"] == "Success"]
    newest += "".join(f"\n  {name}@{one['date']}" for one in stored[: _SHOWN - 1])
    if not newest:
        return f"\n{name} is a disk, and has no snapshot yet: mooring create-disk-snapshot"
    return f"\n{name} is a disk. Name one of its snapshots; the newest:{newest}"


def _tell_how_current(files: SnapshotFiles) -> None:
    if files.system.note:
        sys.stderr.write(f"{files.system.note}\n")


def _line(files: SnapshotFiles, node: Node) -> str:
    """A line as of `ls -l`, the time in UTC."""
    import stat
    from datetime import UTC, datetime

    from mooring.cli.files.snapshot_files import printable

    try:
        moment = datetime.fromtimestamp(node.mtime_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        moment = "                ?"[-16:]
    name = printable(node.name)
    if node.is_symlink:
        name += f" -> {printable(files.system.target(node))}"
    mode = stat.filemode(node.mode)
    return f"{mode} {node.uid:>5} {node.gid:>5} {node.size:>12} {moment} {name}"
