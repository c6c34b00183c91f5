"""mooringd stop: the server, then whatever of it outlives a server."""

from __future__ import annotations

import fcntl
import os
import select
import signal
from contextlib import suppress
from typing import IO

from mooring.admin.serving.outliving import Outliving, Use
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.wiring.data_directory import run_place
from mooring.wiring.last_run import last_run

_SHOWN = 20
"""Users named, at most."""


def stop_server(settings: Settings) -> int:
    """End the server of the data directory, and wait for that. Raises ConfigurationError."""
    if not _end_server(Paths(settings.data_directory)):
        raise ConfigurationError(f"no server runs on {settings.data_directory}")
    print(
        "The server has stopped. Attached disks keep working, and the next start takes them over."
    )
    return 0


def stop(settings: Settings, *, force: bool) -> int:
    """End the server, then storage daemons and all else, unless somebody uses a disk.

    With `force` users are cut off; not those of a block device of this host: their file systems
    would hang. Raises ConfigurationError, DiskBusyError, HostError.
    """
    paths = Paths(settings.data_directory)
    run = last_run(paths) or run_place(settings, paths.data)
    with Outliving(paths, run, SystemClock()) as first:
        _refuse_if_used(first, force, "Nothing was stopped")
        had_server = _end_server(paths)
        if not had_server and not first.any:
            raise ConfigurationError(f"no server runs on {paths.data}")
    # Anew: while it ended it may have started one, and somebody may have come.
    with Outliving(paths, run, SystemClock()) as left:
        _refuse_if_used(left, force, "The server has stopped; disks are served still")
        left.end()
        told = f", and {counted(left.daemons, 'storage daemon')}" if left.daemons else ""
    what = "The server has stopped" if had_server else "There was no server; all else has stopped"
    print(f"{what}{told}. The next start serves the disks again.")
    return 0


def _refuse_if_used(outliving: Outliving, force: bool, state: str) -> None:
    uses = [one for one in outliving.users() if not (force and one.breakable)]
    if not uses:
        return
    lines = [f"  {one}" for one in uses[:_SHOWN]]
    if len(uses) > _SHOWN:
        lines.append(f"  and {len(uses) - _SHOWN} more")
    raise ConfigurationError(
        "\n".join([f"disks are in use. {state}:", *lines, f"End that, {_way_out(uses)}"])
    )


def _way_out(uses: list[Use]) -> str:
    if all(one.breakable for one in uses):
        return "or cut them off with --force; --server ends only the server, and disks keep working"
    return "--force does not help with block devices; --server ends only the server"


def _end_server(paths: Paths) -> bool:
    """End the server and wait for that; False if none runs. Raises ConfigurationError."""
    try:
        lock = paths.lock.open()
    except FileNotFoundError:
        return False
    with lock:
        if not _held(lock):
            return False
        holder = lock.read().strip()
        if not holder.isdigit():
            raise ConfigurationError(
                f"the server on {paths.data} could not record its process id: end it with `kill`"
            )
        with suppress(ProcessLookupError):
            server = os.pidfd_open(int(holder))
            try:
                signal.pidfd_send_signal(server, signal.SIGTERM)
                fcntl.flock(lock, fcntl.LOCK_SH)
                # It gives the lock up a moment before it has ended.
                select.select([server], [], [])
            finally:
                os.close(server)
    return True


def _held(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
