"""The connection to one storage daemon: its process and its monitor, on demand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.daemon.latecomers import Connections, Latecomers
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.host.processes.lasting_process import LastingProcess
from mooring.host.qmp import Monitor, QmpClosedError, QmpSilenceError
from mooring.model.clock import Clock

_DEATH_SECONDS = 1.0
"""How long to wait for the end of a daemon that has closed its connection: it may dump its core."""


class Connection:
    """Takes commands to the daemon in `folder`. Any thread may call."""

    def __init__(
        self,
        folder: Path,
        settings: DaemonSettings,
        clock: Clock,
        connections: Connections,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._monitor: Monitor | None = None
        self._latecomers = Latecomers(folder, clock, connections)
        self.process: LastingProcess | None = None

    def open_started(self) -> None:
        """Connect to a daemon that has just been started. Raises EngineError."""
        self._monitor = self._greet()
        # The monitor has a thread of its own: it may greet before the pid file is there.
        self.process = process.find_started(self.folder)

    def open(self) -> None:
        """Find the running daemon and connect. Raises QmpClosedError, QmpSilenceError."""
        self.close()
        self.process = process.find(self.folder)
        self._connected()

    def alive(self) -> bool:
        """Whether the daemon's process runs; one that is ending is waited for."""
        monitor = self._monitor
        if monitor is not None and monitor.hung_up():
            return not self._ended()
        return self.process is not None and self.process.alive()

    def close(self) -> None:
        """Disconnect from the daemon; it keeps running."""
        with self._lock:
            monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.close()
        if self.process is not None:
            self.process.close()
            self.process = None

    def version(self) -> tuple[int, int, int]:
        """The version of QEMU that the daemon is of."""
        return self._connected().version

    def call(
        self,
        command: str,
        arguments: dict[str, object] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Its answer to a command. Raises QmpError, QmpClosedError, QmpSilenceError."""
        monitor = self._connected()
        limit = self._settings.answer_seconds if timeout is None else timeout
        try:
            with self._latecomers.kept_out(command):
                return monitor.execute(command, arguments, timeout=limit)
        except (QmpClosedError, QmpSilenceError) as error:
            with self._lock:
                if self._monitor is monitor:
                    self._monitor = None
            if isinstance(error, QmpClosedError) and self._ended():
                raise self._death() from error
            raise

    def _connected(self) -> Monitor:
        with self._lock:
            if self._monitor is None:
                if not self.alive():
                    raise self._death()
                self._monitor = self._greet()
            return self._monitor

    def _greet(self) -> Monitor:
        path = self.folder / process.QMP_SOCKET
        return Monitor(path, self._clock, self._settings.start_seconds, self._relieve)

    def _ended(self) -> bool:
        """Whether it has died: its connection closes a moment before it is gone."""
        running = self.process
        return running is not None and running.wait(_DEATH_SECONDS)

    def _death(self) -> QmpClosedError:
        said = process.log_tail(self.folder)
        return QmpClosedError(f"the storage daemon in {self.folder} has died: {said}")

    def _relieve(self) -> None:
        if self.process is not None:
            self._latecomers.relieve(self.process)
