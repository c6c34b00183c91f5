"""The relay's process: started, found again, ended; and the ways that it goes."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from mooring.host import lasting_process
from mooring.host.lasting_process import LastingProcess, last_line
from mooring.host.process_lock import is_held, take
from mooring.host.room import told_when_full, try_room
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError
from mooring.nbd.uri import NbdUri
from mooring.relay.server import TCP_NAME
from mooring.relay.visitor import SERVED_NAME, USERS
from mooring.relay.ways import Way, Ways
from mooring.version import VERSION

LOCK_NAME = "lock"
LOG_NAME = "log"

START_SECONDS = 20.0
ANSWER_SECONDS = 3.0
_END_SECONDS = 5.0
_KILL_SECONDS = 5.0
_PAUSE_SECONDS = 0.01
_RUN = "run directory"

log = structlog.get_logger("mooring.relay")


class RelayProcess:
    """The process, in `folder`; it outlives whoever starts it.

    `command` runs it, with `--lock-fd` and a number after it; None: disks do not leave this host.
    """

    def __init__(
        self, folder: Path, command: Sequence[str] | None, clock: Clock, host_name: str = ""
    ) -> None:
        self.folder = folder
        self._command = command
        self._clock = clock
        self._host_name = host_name
        self._ways = Ways(folder)
        self._lock = threading.RLock()
        """Held while it is decided from the ways whether the process shall run."""

    def uri(self, way: Way, disk: str) -> str:
        if self._command is None:
            raise ConfigurationError(
                "attached disks are not served over TCP: set nbd_disks.host and its certificates, "
                "and restart the server"
            )
        with self._lock:
            with told_when_full(self.folder, _RUN):
                self._ways.open(way)
            self.ensure()
            host, port = self.place()
        return str(NbdUri(way.export(disk), host=self._host_name or host, port=port, tls=True))

    def close_way(self, region: str, instance: str) -> None:
        self._ways.close(region, instance)

    def ways(self) -> Sequence[Way]:
        return list(self._ways.all())

    def keep(self, wanted: Mapping[str, Way | None]) -> None:
        with self._lock:
            self._keep(wanted)

    def _keep(self, wanted: Mapping[str, Way | None]) -> None:
        for way in self.ways():
            now = wanted.get(way.instance_id, way)  # it may have been opened just now
            if now is None:
                self._ways.close(way.region, way.instance)
            elif now != way:
                self._ways.open(now)
        if self._command is None or not self.ways():
            if self.folder.is_dir():
                self.end()
        elif not self.alive() or self._read_served() != self._served():
            self.ensure()
        elif not self.answers():
            log.error("what serves disks over TCP hangs, and is replaced")
            self._kill()
            self.ensure()

    def ensure(self) -> None:
        """Start it unless it runs; it accepts connections then. Raises ConfigurationError.

        One that was started otherwise than the settings say now is ended first.
        """
        with self._lock:
            served = self._served()
            with told_when_full(self.folder, _RUN):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.alive() and self._read_served() != served:
                self._end_and_wait()
            deadline = self._clock.monotonic() + START_SECONDS
            spawned = False
            while not self.alive() or not self.answers():
                with (self.folder / LOCK_NAME).open("ab+") as lock:
                    if take(lock):
                        if spawned:
                            why = last_line(self.folder / LOG_NAME)
                            raise ConfigurationError(f"disks cannot be served over TCP: {why}")
                        self._spawn(lock.fileno(), served)
                        spawned = True
                if self._clock.monotonic() > deadline:
                    raise ConfigurationError(
                        f"attached disks are not served over TCP within {START_SECONDS:g} s; see "
                        f"{self.folder / LOG_NAME}"
                    )
                self._clock.sleep(_PAUSE_SECONDS)

    def place(self) -> tuple[str, int]:
        """Where it listens. Raises ConfigurationError."""
        try:
            place = json.loads((self.folder / TCP_NAME).read_text(encoding="utf-8"))
            return str(place["host"]), int(place["port"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError("attached disks are not served over TCP") from None

    def alive(self) -> bool:
        """Whether it runs."""
        return is_held(self.folder / LOCK_NAME)

    def answers(self) -> bool:
        """Whether it greets whoever connects, or refuses to, within some seconds."""
        with contextlib.suppress(OSError, ConfigurationError):
            host, port = self.place()
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            with socket.create_connection((host, port), ANSWER_SECONDS) as probe:
                probe.recv(1)
                return True
        return False

    def used(self) -> int:
        """How many disks are used from other hosts."""
        return sum(is_held(path) for path in (self.folder / USERS).glob("*"))

    def end(self) -> None:
        """Ask it to end, if it runs; its clients are cut off, also those that one before it had."""
        (self.folder / SERVED_NAME).unlink(missing_ok=True)
        if (process := self._running()) is not None:
            with process:
                process.ask_to_end()

    # ---

    def _spawn(self, lock_fd: int, served: str) -> None:
        assert self._command is not None
        try_room(self.folder, _RUN)
        with told_when_full(self.folder, _RUN):
            (self.folder / SERVED_NAME).write_text(served, encoding="utf-8")
        command = [*self._command, "--lock-fd", str(lock_fd)]
        with (self.folder / LOG_NAME).open("ab") as log:
            try:
                lasting_process.start(command, self.folder, log, (lock_fd,))
            except (OSError, subprocess.CalledProcessError) as error:
                raise ConfigurationError(f"disks cannot be served over TCP: {error}") from error

    def _end_and_wait(self) -> None:
        if (process := self._running()) is not None:
            with process:
                process.end(_END_SECONDS, _KILL_SECONDS)

    def _kill(self) -> None:
        """End it at once, whatever state it is in; its clients stay connected."""
        if (process := self._running()) is not None:
            with process:
                process.kill(_KILL_SECONDS)

    def _running(self) -> LastingProcess | None:
        with contextlib.suppress(OSError):
            if self.alive():
                return lasting_process.find(self.folder / LOCK_NAME, self.folder)
        return None

    def _served(self) -> str:
        return json.dumps({"command": list(self._command or ()), "version": VERSION}) + "\n"

    def _read_served(self) -> str:
        try:
            return (self.folder / SERVED_NAME).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""
