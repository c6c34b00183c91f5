"""One instance's attached disks, and the storage daemon that serves them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.daemon.door import Door
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.layers.layer import Layer
from mooring.model.clock import Clock
from mooring.model.errors import ClusterAwayError, EngineError, MooringError
from mooring.observe import metrics
from mooring.observe.loop import Repeats

LayersOf = Callable[[str], DiskLayers]

_POLL_SECONDS = 0.005
_RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 10.0
_OPEN_AGAIN_SECONDS = 2.0

log = structlog.get_logger("mooring.engine")


class Instance:
    """One instance's attached disks and its daemon, which runs while there are any."""

    def __init__(
        self,
        instance_id: str,
        folder: Path,
        settings: DaemonSettings,
        clock: Clock,
        daemon_in: Callable[[Path], Daemon],
        layers_of: LayersOf,
        started: Callable[[], None],
    ) -> None:
        """`started` is called whenever the daemon has been started."""
        self.instance_id = instance_id
        self.folder = folder
        self.door = Door(folder, clock)
        self.exports: dict[str, Export] = {}
        self.problems: dict[str, str] = {}
        """Why disks are not served although they are attached, by disk id."""
        self._settings = settings
        self._clock = clock
        self._daemon_in = daemon_in
        self._layers_of = layers_of
        self._tell_started = started
        self._lock = threading.RLock()
        self._daemon: Daemon | None = None
        self._failures = 0
        self._started = float("-inf")
        self._has_died = False
        self._repeats = Repeats()

    def take(self, daemon: Daemon) -> None:
        """Use a daemon that was found running."""
        with self._lock:
            self._daemon = daemon

    def daemon(self) -> Daemon:
        """The running daemon; one that died is started again first. Raises EngineError."""
        with self._lock:
            if self._daemon is None or not self._daemon.alive():
                self._start()
            if self._daemon is None:
                raise EngineError(f"instance {self.instance_id} has no storage daemon")
            return self._daemon

    def serve(self, export: Export) -> None:
        """Serve one disk more. On an error it is not served. Raises EngineError."""
        with self._lock:
            for other in self.exports.values():
                if other.name == export.name and other.disk_id != export.disk_id:
                    raise EngineError(
                        f"instance {self.instance_id} has a disk {other.disk_id} "
                        f"named {export.name!r} already"
                    )
            daemon = self.daemon()
            if export.disk_id not in daemon.exports.served():
                try:
                    self._open(daemon, export)
                except BaseException:
                    with contextlib.suppress(EngineError):
                        self._close(export.disk_id)
                        self.end_if_idle()
                    raise
            self.exports[export.disk_id] = export
            self.problems.pop(export.disk_id, None)
            self.door.publish()

    def unserve(self, disk_id: str, *, force: bool) -> None:
        """Flush one disk and stop serving it. Raises DiskBusyError, EngineError."""
        with self._lock:
            export = self.exports[disk_id]
            daemon = self._daemon
            if daemon is not None and daemon.alive():
                daemon.exports.remove(export, force=force)
                daemon.merges.end(disk_id)
            self._close(disk_id)
            del self.exports[disk_id]
            self.problems.pop(disk_id, None)
            self.end_if_idle()

    def serve_anew(self, disk_id: str) -> None:
        """Serve a disk with the size that it has now; its clients are cut off, and come again.

        NBD knows no other way to tell them. On an error it may not be served until it is
        brought back. Raises EngineError.
        """
        with self._lock:
            export, daemon = self.exports[disk_id], self.daemon()
            # Whoever comes again meanwhile would give up if the export was not there.
            with self.door.closed("growth"):
                try:
                    daemon.exports.remove(export, force=True)
                    deadline = self._clock.monotonic() + self._settings.answer_seconds
                    while not daemon.exports.ended(export):
                        if self._clock.monotonic() > deadline:
                            raise EngineError(f"requests to disk {disk_id} do not end")
                        self._clock.sleep(_POLL_SECONDS)
                    daemon.exports.add(export, self._layers_of(disk_id).overlays()[-1].number)
                    self.problems.pop(disk_id, None)
                except BaseException as error:
                    self.problems[disk_id] = str(error)
                    raise

    @contextlib.contextmanager
    def closed(self, disk_id: str) -> Iterator[None]:
        """Let the block change a disk's layers, which nobody has open meanwhile.

        It is served again afterwards, or brought back. Raises DiskBusyError if a client is
        connected, EngineError; then the block is not entered.
        """
        with self._lock:
            export, daemon = self.exports[disk_id], self.daemon()
            # Whoever comes meanwhile would give up if the export was not there.
            with self.door.closed("revert"):
                daemon.exports.remove(export, force=False)
                try:
                    daemon.merges.end(disk_id)
                    daemon.layers.drop(disk_id)
                    yield
                finally:
                    self._reopen(daemon, export)

    def bring_back(self) -> float | None:
        """Bring back the daemon if it died, and disks that it could not open.

        Returns after how many seconds to try again.
        """
        with self._lock:
            if not self.exports:
                return None
            if self._daemon is not None and self._daemon.alive():
                return self._open_again(self._daemon)
            pause = _RESTART_PAUSES[min(self._failures, len(_RESTART_PAUSES) - 1)]
            early = self._started + pause - self._clock.monotonic()
            if early > 0:
                return early
            try:
                self._start()
            except (MooringError, OSError) as error:
                self.problems.update(dict.fromkeys(self.exports, str(error)))
                self._report("a storage daemon cannot be started", error, disks=self._names())
                return max(pause, _RESTART_PAUSES[1])
            return _OPEN_AGAIN_SECONDS if self.problems else None

    def end_if_idle(self) -> None:
        """End the daemon if no disk needs it."""
        with self._lock:
            if not self.exports and self._daemon is not None:
                self._daemon.quit()
                self._daemon = None

    def cut_off(self, why: str) -> None:
        """End the daemon at once, without flushing: others may use its disks. It stays ended."""
        with self._lock:
            self.problems.update(dict.fromkeys(self.exports, why))
            running = self._daemon.process if self._daemon is not None else None
            if running is not None:
                running.kill()

    def pid(self) -> int | None:
        """The process that is its daemon, as far as there is one."""
        daemon = self._daemon
        running = daemon.process if daemon is not None else None
        return running.pid if running is not None else None

    def pidfd(self) -> int | None:
        """What to poll for the daemon's end."""
        daemon = self._daemon
        running = daemon.process if daemon is not None else None
        # Read once: it is -1 as soon as another thread drops the daemon.
        pidfd = running.pidfd if running is not None else -1
        return pidfd if pidfd >= 0 else None

    def forget(self) -> None:
        """Disconnect from the daemon, which keeps running."""
        with self._lock:
            if self._daemon is not None:
                self._daemon.forget()
                self._daemon = None

    # ---

    def _start(self) -> None:
        now = self._clock.monotonic()
        self._failures = 0 if now - self._started > _STEADY_SECONDS else self._failures + 1
        self._started = now
        if self._daemon is not None:
            self._has_died = True
            metrics.storage_daemon_died()
            log.error(
                "a storage daemon has died: what was not flushed may be lost",
                instance=self.instance_id,
                disks=self._names(),
            )
            self._daemon.forget()
        self._daemon = None
        daemon = self._daemon_in(self.folder)
        daemon.start()
        self._daemon = daemon
        for export in self.exports.values():
            try:
                self._open(daemon, export)
                self.problems.pop(export.disk_id, None)
            except (MooringError, OSError) as error:
                # The other disks of the instance need not suffer from this one.
                self._is_not_served(export, error)
        if self.exports:
            self.door.publish(again=self._has_died)
        if self._has_died:
            self._has_died = False
            log.warning(
                "a storage daemon was started in the place of one that died",
                instance=self.instance_id,
                disks=self._names(),
            )
        self._tell_started()

    def _close(self, disk_id: str) -> None:
        """Close a disk's layers, or see to it that a daemon that died has nothing of it."""
        daemon = self._daemon
        if daemon is not None and daemon.alive():
            daemon.layers.drop(disk_id)
            return
        try:
            self._daemon_in(self.folder).layers.ended(disk_id, died=True)
        except ClusterAwayError:
            raise
        except EngineError as error:
            # This host was fenced, or another one has it by now: nothing of it is this one's.
            log.warning("a disk is let go that is not this host's", disk=disk_id, why=str(error))

    def _names(self) -> list[str]:
        return sorted(export.name for export in self.exports.values())

    def _is_not_served(self, export: Export, error: Exception) -> None:
        self.problems[export.disk_id] = str(error)
        self._report("a disk is not served", error, disk=export.name)

    def _report(self, event: str, error: Exception, **what: object) -> None:
        """Log what is tried again and again ever more seldom."""
        if times := self._repeats.count(error):
            log.error(event, instance=self.instance_id, reason=str(error), times=times, **what)

    def _open_again(self, daemon: Daemon) -> float | None:
        """Serve disks that could not be opened: what hindered it may have passed."""
        for disk_id in list(self.problems):
            try:
                if disk_id not in daemon.exports.served():
                    daemon.layers.drop(disk_id)
                    self._open(daemon, self.exports[disk_id])
                del self.problems[disk_id]
            except (MooringError, OSError) as error:
                self._is_not_served(self.exports[disk_id], error)
        return _OPEN_AGAIN_SECONDS if self.problems else None

    def _reopen(self, daemon: Daemon, export: Export) -> None:
        try:
            self._open(daemon, export)
            self.problems.pop(export.disk_id, None)
        except (MooringError, OSError) as error:
            self._is_not_served(export, error)

    def _open(self, daemon: Daemon, export: Export) -> None:
        """Open the disk's layers and serve it. The caller need not hold the disk's lock."""
        disk = self._layers_of(export.disk_id)
        while True:
            found = disk.overlays()
            try:
                layers: list[Layer] = disk.check()
                daemon.layers.add(export.disk_id, layers)
                daemon.exports.add(export, layers[-1].number)
            except (MooringError, OSError):
                # A merge that ended just now may have removed some of them meanwhile.
                if disk.overlays() == found or not daemon.alive():
                    raise
                daemon.layers.drop(export.disk_id)
            else:
                return
