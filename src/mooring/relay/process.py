"""The relay's process: started, found again, ended; and the ways that it goes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from mooring.host.processes.folder_process import RUN, SERVED_NAME, FolderProcess
from mooring.host.processes.process_lock import is_held
from mooring.host.room import told_when_full
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError
from mooring.nbd.uri import NbdUri
from mooring.relay.server import TCP_NAME
from mooring.relay.visitor import USERS
from mooring.relay.ways import Way, Ways

ANSWER_SECONDS = 3.0

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
        self._host_name = host_name
        self._ways = Ways(folder)
        self._process = FolderProcess(
            folder, clock, ConfigurationError, "disks cannot be served over TCP"
        )
        self._lock = threading.RLock()
        """Held while it is decided from the ways whether the process shall run."""

    def uri(self, way: Way, disk: str) -> str:
        if self._command is None:
            raise ConfigurationError(
                "attached disks are not served over TCP: set nbd_disks.host and its certificates, "
                "and restart the server"
            )
        with self._lock:
            with told_when_full(self.folder, RUN):
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
        elif not self._process.is_as_wanted(self._command):
            self.ensure()
        elif not self.answers():
            log.error("what serves disks over TCP hangs, and is replaced")
            self._process.kill()  # its clients stay connected
            self.ensure()

    def ensure(self) -> None:
        """Start it unless it runs; it accepts connections then. Raises ConfigurationError.

        One that was started otherwise than the settings say now is ended first.
        """
        assert self._command is not None
        with self._lock:
            self._process.ensure(self._command, self.answers)

    def place(self) -> tuple[str, int]:
        """Where it listens. Raises ConfigurationError."""
        try:
            place = json.loads((self.folder / TCP_NAME).read_text(encoding="utf-8"))
            return str(place["host"]), int(place["port"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError("attached disks are not served over TCP") from None

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.alive()

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
        self._process.ask_to_end()
