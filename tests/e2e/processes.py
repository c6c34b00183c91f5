"""Processes of a data directory: found by what their command lines name, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from mooring.engine.qemu.daemon import process
from mooring.host.processes.lasting_process import LastingProcess

PATIENCE = 60.0
"""Seconds that anything may take on a machine that is busy with other things."""

PAUSE = 0.02


def until(reached: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until `reached` says so."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(PAUSE)


def stands_still(pid: int) -> bool:
    """Whether the process was stopped by a signal."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def naming(path: Path) -> dict[int, str]:
    """The command lines, by pid, that name `path` or something below it."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(path) in command:
            found[int(directory.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def end_all(path: Path) -> None:
    """End whatever names `path`; one that is being started meanwhile is found as well."""
    deadline = time.monotonic() + PATIENCE
    while found := naming(path):
        assert time.monotonic() < deadline, f"do not end: {found}"
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE)


def storage_daemons(run: Path) -> dict[str, LastingProcess]:
    """The storage daemons that run, by the names of their folders; close them after use."""
    found = {}
    for file in run.glob(f"[!.]*/*/{process.PID_FILE}"):
        daemon = process.find(file.parent)
        if daemon is not None:
            found[file.parent.name] = daemon
    return found
