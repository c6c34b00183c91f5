"""Where the run directory was at the last start, with what outlives a server."""

from __future__ import annotations

from pathlib import Path

import structlog

from mooring.engine.qemu.daemon import process
from mooring.files import write_whole
from mooring.host.processes import lasting_process
from mooring.host.processes.folder_process import LOCK_NAME
from mooring.model.counts import counted
from mooring.model.errors import NO_ROOM, ConfigurationError
from mooring.model.paths import Paths

log = structlog.get_logger("mooring.server")


def last_run(paths: Paths) -> Path | None:
    """The run directory of the last server that started; None if nobody knows.

    What a copy of a data directory says is about the one that it was copied from.
    """
    try:
        data, run = paths.last_run.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return Path(run) if data == str(paths.data.absolute()) else None


def keep_run(paths: Paths) -> None:
    """Remember the run directory, for whoever holds the data directory.

    Raises ConfigurationError while something runs where it was before: a server would look for it
    here, and start all of it a second time.
    """
    before = last_run(paths)
    if before is not None and before.resolve() == paths.run.resolve():
        return
    if before is not None and (running := _running(Paths(paths.data, before))):
        raise ConfigurationError(
            f"{paths.data} is served by {counted(running, 'daemon')} with sockets in {before}; by "
            f"the settings these would be in {paths.run}, which the names of zones decide by their "
            f'length if no setting does: set engine.run = "{before}" to go on with what runs, or '
            "end it with `mooringd stop`"
        )
    try:
        write_whole(paths.last_run, f"{paths.data.absolute()}\n{paths.run}\n")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        log.warning("the run directory could not be noted", why=str(error))


def _running(paths: Paths) -> int:
    """How many processes of the data directory run there."""
    found = [one for _, one in process.running(paths.run)]
    for folder in (*paths.run.glob("snapshots-*"), paths.relay()):
        if (one := lasting_process.find(folder / LOCK_NAME, folder)) is not None:
            found.append(one)
    for one in found:
        one.close()
    return len(found)
