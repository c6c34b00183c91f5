"""A process in a folder that outlives its starter, one at a time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from mooring.host.processes import lasting_process
from mooring.host.processes.lasting_process import LastingProcess, last_line
from mooring.host.processes.process_lock import is_held, take
from mooring.host.room import told_when_full, try_room
from mooring.model.clock import Clock
from mooring.model.errors import MooringError
from mooring.version import VERSION

LOCK_NAME = "lock"
"""Held by the process to its end; holds its pid."""
LOG_NAME = "log"
SERVED_NAME = "served"
"""Says how it was started: the command line, the program's version, what else counts."""

RUN = "run directory"
"""What the folder is in, in words of errors."""

START_SECONDS = 20.0
_END_SECONDS = 5.0
_KILL_SECONDS = 5.0
_PAUSE_SECONDS = 0.01


class FolderProcess:
    """Whoever needs it has it started; whoever runs holds the lock in the folder.

    Errors are made by `error`, and begin with `failure`: what cannot be done without it.
    """

    def __init__(
        self, folder: Path, clock: Clock, error: Callable[[str], MooringError], failure: str
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._error = error
        self._failure = failure
        self._lock = threading.Lock()

    def ensure(
        self,
        command: Sequence[str],
        accepts: Callable[[], bool],
        besides: Mapping[str, str | None] | None = None,
    ) -> None:
        """Start it unless it runs; it accepts clients then, as `accepts` finds.

        `command` gets `--lock-fd` and a number after it, for `process_lock.inherit`. One that was
        started otherwise, by another version, or for what differs from `besides`, is ended first.
        """
        with self._lock:
            served = _told(command, besides)
            with told_when_full(self.folder, RUN):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.alive() and self._served() != served:
                self._end_and_wait()
            deadline = self._clock.monotonic() + START_SECONDS
            spawned = False
            while not self.alive() or not accepts():
                with (self.folder / LOCK_NAME).open("ab+") as lock:
                    if take(lock):
                        if spawned:
                            raise self._failed(last_line(self.folder / LOG_NAME))
                        try_room(self.folder, RUN)
                        with told_when_full(self.folder, RUN):
                            (self.folder / SERVED_NAME).write_text(served, encoding="utf-8")
                        self._spawn(command, lock)
                        spawned = True
                if self._clock.monotonic() > deadline:
                    raise self._failed(
                        f"nobody answers within {START_SECONDS:g} s; see {self.folder / LOG_NAME}"
                    )
                self._clock.sleep(_PAUSE_SECONDS)

    def is_as_wanted(
        self, command: Sequence[str], besides: Mapping[str, str | None] | None = None
    ) -> bool:
        """Whether it runs, and `ensure` would not end it."""
        return self.alive() and self._served() == _told(command, besides)

    def alive(self) -> bool:
        """Whether it runs."""
        return is_held(self.folder / LOCK_NAME)

    def ask_to_end(self) -> None:
        """Send it SIGTERM, if it runs."""
        if (process := self._running()) is not None:
            with process:
                process.ask_to_end()

    def kill(self) -> None:
        """End it at once, whatever state it is in."""
        if (process := self._running()) is not None:
            with process:
                process.kill(_KILL_SECONDS)

    # ---

    def _end_and_wait(self) -> None:
        """Ask it to end, insist after a while, and wait until it is gone."""
        if (process := self._running()) is not None:
            with process:
                process.end(_END_SECONDS, _KILL_SECONDS)

    def _running(self) -> LastingProcess | None:
        """The process, None if none runs; only such a one names the folder."""
        with contextlib.suppress(OSError):
            if self.alive():
                return lasting_process.find(self.folder / LOCK_NAME, self.folder)
        return None

    def _served(self) -> str:
        try:
            return (self.folder / SERVED_NAME).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def _spawn(self, command: Sequence[str], lock: IO[bytes]) -> None:
        """Start the process, which inherits the lock and keeps it to its end."""
        with (self.folder / LOG_NAME).open("ab") as log:
            try:
                lasting_process.start(
                    [*command, "--lock-fd", str(lock.fileno())], self.folder, log, (lock.fileno(),)
                )
            except (OSError, subprocess.CalledProcessError) as error:
                raise self._failed(f"it cannot be started: {error}") from error

    def _failed(self, why: str) -> MooringError:
        return self._error(f"{self._failure}: {why}")


def _told(command: Sequence[str], besides: Mapping[str, str | None] | None) -> str:
    told = {"command": list(command), "version": VERSION, **(besides or {})}
    return json.dumps(told) + "\n"
