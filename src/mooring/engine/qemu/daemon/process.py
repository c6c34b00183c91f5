"""The process of a storage daemon: started, found again, watched."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from mooring.host.group_access import check_way, share_folder, share_socket
from mooring.host.processes import lasting_process
from mooring.host.processes.lasting_process import LastingProcess
from mooring.host.room import told_when_full, try_room
from mooring.model.errors import ConfigurationError, DiskFullError, EngineError

SOCKET_PATH_LIMIT = 107
"""Bytes that fit into `sockaddr_un.sun_path` with the closing zero (Linux, unix(7))."""

END_SECONDS = 60.0
"""How long a daemon may take to end by itself: it writes everything before."""

QMP_SOCKET = "qmp.sock"
NBD_SOCKET = "nbd.sock"
PID_FILE = "pid"
LOG_FILE = "log"
CLIENTS_FILE = "clients"
"""What is known of the daemon's connections, as JSON: `offset`, up to where the trace in its log
was understood, `names`, the export's name of each connection by its socket's inode, and `mixed`,
lists of connections of which only all together have these names. It tells the next server what
only this one saw."""

TRACED = (
    "nbd_negotiate_begin",
    "nbd_negotiate_handle_export_name_request",
    "nbd_negotiate_success",
)
"""Events that a daemon traces, into its log: they tell which export each connection uses."""

RUN = "run directory"


def find(folder: Path) -> LastingProcess | None:
    """The daemon that runs in `folder`, or None."""
    return lasting_process.find(folder / PID_FILE, folder / PID_FILE)


def running(run: Path, besides: Collection[str] = ()) -> list[tuple[Path, LastingProcess]]:
    """The daemons in a run directory, each with its folder `ZONE/INSTANCE`; some zones left out.

    Close each.
    """
    folders = sorted(file.parent for file in run.glob(f"[!.]*/*/{PID_FILE}"))
    return [
        (folder, found)
        for folder in folders
        if folder.parent.name not in besides and (found := find(folder)) is not None
    ]


def find_started(folder: Path) -> LastingProcess | None:
    """The daemon that runs in `folder`, also one that has not written its pid file yet."""
    process = find(folder)
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    while process is None and (pid := next(pids, None)) is not None:
        process = lasting_process.find_by_pid(pid, folder / PID_FILE)
    return process


def spawn(program: str, folder: Path, arguments: Sequence[str], group: int | None = None) -> None:
    """Start a storage daemon that outlives this process, with its sockets in `folder`.

    The sockets are bound here and handed over listening, so that nobody has to wait for them,
    and a daemon that fails to start shows as a closed connection. The NBD socket gets its name
    only when its `Door` publishes it. Members of the `group` may connect to that one.
    """
    with told_when_full(folder, RUN):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    share_folder(folder, group)
    try_room(folder, RUN)
    (folder / PID_FILE).unlink(missing_ok=True)
    withdrawn(folder).unlink(missing_ok=True)
    with (
        _listen(_fresh(folder / QMP_SOCKET)) as qmp,
        _listen(_fresh(folder / NBD_SOCKET), group) as nbd,
        (folder / LOG_FILE).open("ab") as log,
    ):
        _fresh(folder / QMP_SOCKET).rename(folder / QMP_SOCKET)
        with contextlib.suppress(OSError):  # only something to look at
            (folder / CLIENTS_FILE).write_text(json.dumps({"offset": log.tell(), "names": {}}))
        command = [
            program,
            # First, so that `ps` tells whose it is: data directory, zone, instance.
            "--pidfile", str(folder / PID_FILE),
            *(word for event in TRACED for word in ("--trace", event)),
            "--chardev", f"socket,id=qmp,fd={qmp.fileno()},server=on,wait=off",
            "--monitor", "chardev=qmp",
            "--nbd-server", f"addr.type=fd,addr.str={nbd.fileno()},max-connections=0",
            *arguments,
        ]  # fmt: skip
        try:
            lasting_process.start(command, folder, log, (qmp.fileno(), nbd.fileno()))
        except (OSError, subprocess.CalledProcessError) as error:
            raise EngineError(f"the storage daemon could not be started: {error}") from error


def share(folder: Path, group: int | None) -> None:
    """Let the group, and no other, connect to the daemon that runs in the folder."""
    share_folder(folder, group)
    for path in (folder / NBD_SOCKET, bound_at(folder), withdrawn(folder)):
        with contextlib.suppress(FileNotFoundError):
            share_socket(path, group)


def share_all(run_dir: Path, group: int | None) -> None:
    """Let the group use what is served below `run_dir`, also by daemons that run on.

    Raises ConfigurationError.
    """
    share_folder(run_dir, group)
    for folder in run_dir.iterdir():
        if folder.is_dir() and not folder.is_symlink():
            share(folder, group)
    if group is not None:
        check_way(run_dir, group)


def check_socket_path(run_dir: Path, name_length: int) -> None:
    """Raise ConfigurationError if sockets in a folder of `run_dir` would have too long paths."""
    longest = len(os.fsencode(run_dir)) + name_length + len(f"/{NBD_SOCKET}.new") + 1
    if longest > SOCKET_PATH_LIMIT:
        raise ConfigurationError(
            f"the run directory {run_dir} is too long: the path of a socket in it would have "
            f"{longest} bytes, and {SOCKET_PATH_LIMIT} is the limit; choose a shorter one"
        )


def log_tail(folder: Path) -> str:
    """The last line that the daemon wrote to its log."""
    return lasting_process.last_line(folder / LOG_FILE, besides=TRACED)


def clear(folder: Path) -> None:
    """Remove what a daemon that has ended left behind, except its log."""
    for path in (folder / QMP_SOCKET, folder / NBD_SOCKET):
        path.unlink(missing_ok=True)
        _fresh(path).unlink(missing_ok=True)
    (folder / PID_FILE).unlink(missing_ok=True)
    (folder / CLIENTS_FILE).unlink(missing_ok=True)
    withdrawn(folder).unlink(missing_ok=True)


def bound_at(folder: Path) -> Path:
    """The path at which the NBD socket was bound: the kernel keeps reporting that one."""
    return _fresh(folder / NBD_SOCKET)


def withdrawn(folder: Path) -> Path:
    """Where the NBD socket is while nobody new shall connect."""
    return folder / f"{NBD_SOCKET}.off"


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _listen(path: Path, group: int | None = None) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with told_when_full(path.parent, RUN):
            listener.bind(str(path))
        path.chmod(0o600)
        share_socket(path, group)
        listener.listen(64)
    except DiskFullError:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        raise EngineError(f"cannot listen at {path}: {error}") from error
    return listener
