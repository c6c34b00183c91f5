"""Taking a data directory for one server: its lock, its directory for sockets."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import UUID

import structlog

from mooring.config.places import place
from mooring.config.settings import Settings
from mooring.engine.qemu.folder_lock import FOLDER_LOCK
from mooring.files import write_whole
from mooring.host.group_access import group_id, share_folder
from mooring.host.mount_points import not_mounted
from mooring.model.errors import NO_ROOM, ConfigurationError, ServerRunningError
from mooring.model.ids import Ids
from mooring.model.paths import Paths, run_directory

log = structlog.get_logger("mooring.server")


def run_place(settings: Settings, data: Path) -> Path:
    """Where the run directory is, or will be."""
    if settings.engine.run:
        return place(settings.engine.run)
    zones = [zone for region in settings.regions.values() for zone in region.zones]
    return run_directory(data, zones, os.getuid())


def make_run_directory(settings: Settings, data: Path) -> None:
    """Make the run directory for this user, and the group of sockets, if it is not under data.

    Raises ConfigurationError.
    """
    run = run_place(settings, data)
    if settings.engine.run:
        _make(run, "directory of sockets", "as engine.run in the settings")
    elif _is_short_place(settings, data, run):
        run.mkdir(mode=0o700, exist_ok=True)
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o067:
            raise ConfigurationError(
                f"{run}, where the sockets of {data} would be, is somebody else's: "
                "name a short directory of your own as engine.run in the settings"
            )
        share_folder(run, None)
    group = group_id(settings.engine.socket_group)
    if group is not None and run.is_dir() and not run.stat().st_mode & stat.S_IXOTH:
        share_folder(run, group)


def leave_run_directory(settings: Settings, data: Path) -> None:
    """Remove the one that `make_run_directory` made, unless a process still has something there.

    Only for whoever holds the data directory, and has let go of its engines.
    """
    run = run_place(settings, data)
    if not _is_short_place(settings, data, run):
        return
    with suppress(OSError):
        for folder in run.iterdir():
            if [one.name for one in folder.iterdir()] == [FOLDER_LOCK]:
                (folder / FOLDER_LOCK).unlink()
            with suppress(OSError):
                folder.rmdir()
        run.rmdir()


def _is_short_place(settings: Settings, data: Path, run: Path) -> bool:
    return not settings.engine.run and run.parent != data


def make_data_directory(data: Path) -> None:
    """Make it for this user alone if it is not there. Raises ConfigurationError.

    In a mount point where nothing is mounted a new one would serve none of the disks there are.
    """
    if (problem := away(data)) is not None:
        raise ConfigurationError(problem)
    _make(data, "data directory", "with --data, or as data in the settings")


def away(data: Path) -> str | None:
    """Why there may be a data directory that cannot be seen now; None if that is not so."""
    if (problem := not_mounted(data)) is None:
        return None
    return f"the data directory {data} is away: {problem}; or name another place with --data"


def _make(folder: Path, what: str, how: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        out = "Name another place"
        if isinstance(error, PermissionError):
            out = "Run it as the server's user, or name another place"
        raise ConfigurationError(
            f"the {what} {folder} cannot be made: {obstacle(folder) or _refusal(folder, error)}. "
            f"{out} {how}"
        ) from error


def obstacle(folder: Path) -> str | None:
    """What is in the way of a folder that is not there; None if nothing is seen without trying."""
    there = _nearest(folder)
    if not there.is_dir():
        what = "a dangling link" if there.is_symlink() else "not a directory"
        return f"{there} is {what}"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} does not let this user create anything in it ({os.strerror(errno.EACCES)})"
    return None


def _refusal(folder: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{_nearest(folder)} belongs to the kernel, which allows no directories in it"
    return f"{_nearest(folder)} does not let this user create anything in it ({error.strerror})"


def _nearest(folder: Path) -> Path:
    """What there is of its path."""
    return next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)


def server_id(paths: Paths, ids: Ids) -> str:
    """By what catalogs know the server of the data directory; made at its first start.

    Only for whoever holds the data directory. Where there is no room for it, the next start has
    another one, which waits for what this one leased.
    """
    with suppress(OSError, ValueError):
        return str(UUID(paths.server_id.read_text().strip()))
    made = ids.new_id()
    try:
        write_whole(paths.server_id, f"{made}\n")
    except OSError as error:
        log.warning("the server's id could not be kept", path=str(paths.server_id), why=str(error))
    return made


def hold_directory(paths: Paths) -> IO[str]:
    """Hold the data directory, until the file is closed or the process ends."""
    file = paths.lock.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ServerRunningError(
            f"another server (process {holder}) runs on {paths.data}: stop it, "
            "or name another data directory with --data"
        ) from None
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError as error:
        # Whoever holds the lock holds it without a name, too.
        if error.errno not in NO_ROOM:
            raise
    return file
