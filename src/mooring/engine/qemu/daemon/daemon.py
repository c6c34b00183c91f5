"""One storage daemon, running or not."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.daemon.connection import Connection
from mooring.engine.qemu.daemon.exports import Exports
from mooring.engine.qemu.daemon.latecomers import Connections
from mooring.engine.qemu.daemon.merges import MERGE_GROUP, Merges
from mooring.engine.qemu.daemon.open_layers import OpenLayers
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerStore
from mooring.host.processes.lasting_process import LastingProcess
from mooring.host.qmp import QmpClosedError, QmpSilenceError
from mooring.model.clock import Clock
from mooring.model.errors import EngineError

_PING_SECONDS = 5.0


class Daemon:
    """A storage daemon in `folder`, and what it is told to do. One caller at a time per disk."""

    def __init__(
        self,
        folder: Path,
        settings: DaemonSettings,
        clock: Clock,
        connections: Connections,
        store: LayerStore = DIRECTORY,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._connection = Connection(folder, settings, clock, connections)
        self.layers = OpenLayers(self._connection, settings, clock, store)
        self.exports = Exports(self._connection)
        self.merges = Merges(self._connection, settings, clock)

    def start(self) -> None:
        """Start it. Raises EngineError."""
        try:
            try:
                self._start()
            except QmpSilenceError:
                # Seen once on a busy machine: QEMU 7.2 greeted, and answered nothing for 10 s. It
                # has no layers yet, so another can take its place.
                self._start()
        except EngineError as error:
            raise EngineError(
                f"the storage daemon in {self.folder} did not start: "
                f"{process.log_tail(self.folder)}"
            ) from error

    def _start(self) -> None:
        self.forget()
        process.spawn(
            self._settings.program,
            self.folder,
            ["--object", f"throttle-group,id={MERGE_GROUP}"],
            self._settings.socket_group,
        )
        try:
            self._connection.open_started()
            self.ping()
        except EngineError:
            self._end_started()
            raise

    def _end_started(self) -> None:
        """End a daemon that was too slow: it has no layers yet, and nobody would find it again."""
        self.forget()
        started = process.find_started(self.folder)
        if started is not None:
            started.kill()
            started.close()

    def connect(self) -> None:
        """Find the running daemon and connect. Raises QmpClosedError, QmpSilenceError."""
        self._connection.open()

    @property
    def process(self) -> LastingProcess | None:
        """Its process, as far as it was found."""
        return self._connection.process

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._connection.alive()

    def forget(self) -> None:
        """Disconnect from the daemon; it keeps running."""
        self._connection.close()

    def quit(self) -> None:
        """Flush everything and end it, cutting off its clients. Raises EngineError."""
        running = self.process
        if running is not None and running.alive():
            # It may close the connection before it has answered.
            with contextlib.suppress(QmpClosedError):
                self._connection.call("quit")
            if not running.wait(self._settings.answer_seconds):
                raise EngineError(
                    f"the storage daemon in {self.folder}, process {running.pid}, does not end"
                )
        self.forget()
        process.clear(self.folder)

    def ping(self) -> None:
        """Raise EngineError unless it answers soon."""
        timeout = min(_PING_SECONDS, self._settings.answer_seconds)
        self._connection.call("query-jobs", timeout=timeout)
