"""mooring ls and mooring cp: files out of a snapshot."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager

from mooring.cli import operation, style
from mooring.cli.connection.client import ServiceFailure
from mooring.cli.help import pages as help_pages
from mooring.cli.input import parser
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from mooring.cli.connection.client import Client
    from mooring.cli.connection.session import Session
    from mooring.cli.files.file_system import Node
    from mooring.cli.files.snapshot_files import SnapshotFiles
    from mooring.cli.options import Options
    from mooring.protocol.service_model import ServiceModel

_SHOWN = 6

_COMMON = {
    "--disk-snapshot-name <string>": "The snapshot, instead of the first word. Automatic ones: "
    "DISK@latest, DISK@yesterday, DISK@2026-11-26, or more of the moment, as `mooring usage` shows "
    "it; a disk of an instance's snapshot: NAME/DISK.",
    "--path <string>": "The path, instead of what follows the colon. Default: /.",
    "--partition <integer>": "The partition, as Linux numbers them, if there are several.",
}
_NOTES = [
    "Reads ext2, ext3, ext4, XFS, btrfs and FAT, on the whole disk or on a partition (MBR, GPT), "
    "without a disk, without mounting, without special rights. btrfs and FAT need the packages of "
    "dissect: pip install '.[files]' in Mooring's checkout. Symbolic links are followed within the "
    "snapshot only.",
    "Of a disk that was in use, the journal of ext3 and ext4 is taken into account, in memory. XFS "
    "and btrfs are read without their logs; if those hold anything, standard error says so.",
]


def run_ls(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run `mooring ls` with the arguments in `rest`; the exit code is returned."""
    if not rest or rest[-1] in {"help", "--help", "-h"}:
        return _ls_help()
    arguments = _parser()
    arguments.add_argument("place", nargs="?")
    parsed = arguments.parse_all(rest)
    snapshot, path = _place(parsed)
    with _opened(model, options, session, snapshot, parsed.partition) as files:
        _tell_how_current(files)
        node = files.find(path)
        if not node.is_directory:
            sys.stdout.write(f"{_line(files, node)}\n")
            return 0
        for child in files.entries(path, node):
            sys.stdout.write(f"{_line(files, child)}\n")
    return 0


def run_cp(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run `mooring cp` with the arguments in `rest`; the exit code is returned."""
    if not rest or rest[-1] in {"help", "--help", "-h"}:
        return _cp_help()
    arguments = _parser()
    arguments.add_argument("places", nargs="+")
    parsed = arguments.parse_all(rest)
    *place, local = parsed.places
    parsed.place = place[0] if place else None
    if len(place) > 1:
        raise CommandError(f"Unknown options: {', '.join(place[1:])}", "usage")
    if parsed.place is None and parsed.disk_snapshot_name is None:
        raise CommandError(f"Name where to copy it to: mooring cp {local} .", "usage")
    snapshot, path = _place(parsed)
    with _opened(model, options, session, snapshot, parsed.partition) as files:
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


def _parser() -> parser.Parser:
    arguments = parser.Parser()
    arguments.add_argument("--disk-snapshot-name")
    arguments.add_argument("--path")
    arguments.add_argument("--partition", type=int)
    return arguments


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
    model: ServiceModel,
    options: Options,
    session: Session,
    snapshot: str,
    partition: int | None,
) -> Iterator[SnapshotFiles]:
    from mooring.cli.files.snapshot_files import snapshot_files
    from mooring.cli.own.granted import granted

    v2 = style.is_v2(session.environ, session)
    client = operation.open_client(model, options, session, lambda value: value, v2)
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


def _ls_help() -> int:
    return help_pages.show_own(
        "ls - list files in a snapshot",
        "mooring ls <snapshot>[:<path>] [--partition <integer>]\n"
        "mooring ls --disk-snapshot-name <string> [--path <string>] [--partition <integer>]",
        [
            "Lists a directory in a snapshot, or tells about a file; times are in UTC. "
            "An automatic snapshot is named by its disk and moment: mooring ls data@yesterday:/etc",
            *_NOTES,
        ],
        _COMMON,
    )


def _cp_help() -> int:
    return help_pages.show_own(
        "cp - copy files out of a snapshot",
        "mooring cp <snapshot>:<path> <local> [--partition <integer>]\n"
        "mooring cp --disk-snapshot-name <string> --path <string> <local> "
        "[--partition <integer>]",
        [
            "Copies a file or a directory with all in it to a new place. If that is a directory, "
            "the copy comes into it. Nothing that exists is written to. Times and modes are kept, "
            "holes stay holes; owners, and set-user-id bits, only for root. Devices, FIFOs and "
            "sockets are left out. What could not be copied is told, and the exit code is 1.",
            *_NOTES,
        ],
        {"<local>": "Where to copy to on this machine.", **_COMMON},
    )
