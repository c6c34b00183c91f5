"""One storage daemon: layers, exports, snapshots and merges as commands."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.engine.interface import Export
from mooring.engine.qemu import process
from mooring.engine.qemu.base_source import BaseSource
from mooring.engine.qemu.layers import BASE_NUMBER, Layer
from mooring.engine.qemu.qmp import Monitor, QmpClosedError, QmpError, QmpSilenceError
from mooring.model.clock import Clock
from mooring.model.errors import DiskBusyError, EngineError

MERGE_GROUP = "merge"
_RELEASE_PAUSE = 0.005
_PING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How daemons are run and told to do I/O."""

    program: str = "qemu-storage-daemon"
    direct: bool = True
    aio: str = "io_uring"
    answer_seconds: float = 30.0
    """A freeze on a slow disk may take seconds; a daemon silent for this long hangs."""
    start_seconds: float = 10.0
    merge_bytes_per_second: int = 0
    """Limit of a merge's speed; 0 for none."""
    most_layers: int = 64
    """Layers above which a disk is not frozen: each makes the next pause longer."""
    source_seconds: int = 5
    """How long a read waits for the source of a base that is not filled yet to come back."""
    fill_bytes_per_second: int = 0
    """Limit of the speed at which a new disk is filled; 0 for none."""


@dataclass(frozen=True, slots=True)
class Served:
    """An export as the daemon has it: `top` is the number of the layer that takes the writes."""

    export: Export
    top: int


@dataclass(frozen=True, slots=True)
class MergeStatus:
    """How a merge stands; `error` says why it failed, empty if it did not."""

    running: bool
    error: str = ""


class Daemon:
    """A storage daemon in `folder`, running or not. One caller at a time per disk."""

    def __init__(self, folder: Path, settings: DaemonSettings, clock: Clock) -> None:
        self.folder = folder
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._monitor: Monitor | None = None
        self.process: process.DaemonProcess | None = None

    # --- life

    def start(self) -> None:
        """Start it. Raises EngineError."""
        self.forget()
        process.spawn(
            self._settings.program,
            self.folder,
            ["--object", f"throttle-group,id={MERGE_GROUP}"],
        )
        try:
            path = self.folder / process.QMP_SOCKET
            self._monitor = Monitor(path, self._clock, self._settings.start_seconds)
            # The monitor has a thread of its own: it may greet before the pid file is there.
            self.process = process.find_started(self.folder)
            self.ping()
        except EngineError as error:
            self._end_started()
            raise EngineError(
                f"the storage daemon in {self.folder} did not start: "
                f"{process.log_tail(self.folder)}"
            ) from error

    def _end_started(self) -> None:
        """End a daemon that was too slow: it has no layers yet, and nobody would find it again."""
        self.forget()
        started = process.find_started(self.folder)
        if started is not None:
            started.kill()
            started.close()

    def connect(self) -> None:
        """Find the running daemon and connect. Raises QmpClosedError, QmpSilenceError."""
        self.forget()
        self.process = process.find(self.folder)
        self._connected()

    def publish(self) -> None:
        """Let clients connect."""
        process.publish(self.folder)

    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.alive()

    def forget(self) -> None:
        """Let go of the daemon; it runs on."""
        with self._lock:
            monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.close()
        if self.process is not None:
            self.process.close()
            self.process = None

    def quit(self) -> None:
        """Flush everything and end it, cutting off its clients. Raises EngineError."""
        running = self.process
        if running is not None and running.alive():
            # It may close the connection before it has answered.
            with contextlib.suppress(QmpClosedError):
                self._call("quit")
            if not running.wait(self._settings.answer_seconds):
                raise EngineError(
                    f"the storage daemon in {self.folder}, process {running.pid}, does not end"
                )
        self.forget()
        process.clear(self.folder)

    def ping(self) -> None:
        """Raise EngineError unless it answers soon."""
        self._call("query-jobs", timeout=min(_PING_SECONDS, self._settings.answer_seconds))

    # --- layers

    def add_layers(self, disk_id: str, layers: Sequence[Layer], *, writable: bool = True) -> None:
        """Open the layers, lowest first, each on the one before; the last takes the writes."""
        known = self.layer_numbers(disk_id)
        below: str | None = None
        for layer in layers:
            if layer.source is not None:
                below = self._add_source(disk_id, layer.source)
                continue
            if layer.number not in known:
                read_only = layer is not layers[-1] or not writable
                self._add(disk_id, layer, below, read_only=read_only)
            below = _node(disk_id, layer.number)

    def add_top(self, disk_id: str, layer: Layer) -> None:
        """Open an overlay that `snapshot` is to put on top."""
        self._add(disk_id, layer, None, read_only=False)

    def _add(self, disk_id: str, layer: Layer, below: str | None, *, read_only: bool) -> None:
        self._call("blockdev-add", self._options(disk_id, layer, below, read_only=read_only))

    def _options(
        self, disk_id: str, layer: Layer, below: str | None, *, read_only: bool
    ) -> dict[str, object]:
        is_base = layer.number == BASE_NUMBER
        options: dict[str, object] = {
            "driver": "raw" if is_base else "qcow2",
            "node-name": _node(disk_id, layer.number),
            "read-only": read_only,
            "file": {
                "driver": "file",
                "filename": str(layer.path),
                "aio": self._settings.aio,
                "cache": {"direct": self._settings.direct},
            },
        }
        if is_base:
            # QEMU below 10 merges zeros as data; this gives their space back.
            options |= {"discard": "unmap", "detect-zeroes": "unmap"}
        else:
            options |= {
                "backing": below,
                "discard": "unmap" if self._may_discard() else "ignore",
            }
        return options

    def _add_source(self, disk_id: str, source: BaseSource) -> str:
        """Open what stands in for a base that is not filled yet; returns its node's name."""
        node = _source_node(disk_id)
        if not self.has_source(disk_id):
            options = {
                "driver": "nbd",
                "node-name": node,
                "read-only": True,
                "server": {"type": "unix", "path": source.socket},
                "export": source.export,
                # A server that is started again is found again; until then reads wait.
                "reconnect-delay": self._settings.source_seconds,
                "open-timeout": self._settings.source_seconds,
            }
            self._call("blockdev-add", options)
        return node

    def has_source(self, disk_id: str) -> bool:
        """Whether the disk is read from the source of its base."""
        return _source_node(disk_id) in self._nodes()

    def switch_to_base(self, disk_id: str, base: Layer, lowest: Layer) -> None:
        """Let the lowest overlay lie on the base, which is filled now, instead of its source."""
        if base.number not in self.layer_numbers(disk_id):
            self._add(disk_id, base, None, read_only=True)
        read_only = bool(self._nodes()[_node(disk_id, lowest.number)]["ro"])
        below = _node(disk_id, base.number)
        options = self._options(disk_id, lowest, below, read_only=read_only)
        self._call("blockdev-reopen", {"options": [options]})
        self._call("blockdev-del", {"node-name": _source_node(disk_id)})

    def _nodes(self) -> dict[str, Any]:
        found = self._call("query-named-block-nodes", {"flat": True})
        return {node["node-name"]: node for node in found}

    def layer_numbers(self, disk_id: str) -> set[int]:
        """The layers of the disk that are open."""
        prefix = _node(disk_id, "")
        return {int(name[len(prefix) :]) for name in self._nodes() if name.startswith(prefix)}

    def drop_unused(self, disk_id: str, top: int) -> set[int]:
        """Close layers that merges have emptied, never `top`; return those still in use."""
        kept = set()
        # Highest first, because each layer keeps the one below it in use.
        for number in sorted(self.layer_numbers(disk_id), reverse=True):
            if number == top or not self._try_close(disk_id, number):
                kept.add(number)
        return kept

    def drop_above(self, disk_id: str, top: int) -> None:
        """Close overlays that were opened but never put on top."""
        for number in sorted(self.layer_numbers(disk_id), reverse=True):
            if number > top:
                self._try_close(disk_id, number)

    def drop_layers(self, disk_id: str) -> None:
        """Flush and close all layers of a disk that is not exported any more."""
        deadline = self._clock.monotonic() + self._settings.answer_seconds
        gone = threading.Event()
        for number in sorted(self.layer_numbers(disk_id), reverse=True):
            # An export goes only when its requests under way are done.
            while not self._try_close(disk_id, number):
                if self._clock.monotonic() > deadline:
                    raise EngineError(
                        f"layer {number} of disk {disk_id} stays in use in the storage daemon"
                    )
                gone.wait(_RELEASE_PAUSE)
        if self.has_source(disk_id):
            self._call("blockdev-del", {"node-name": _source_node(disk_id)})

    def _try_close(self, disk_id: str, number: int) -> bool:
        try:
            self._call("blockdev-del", {"node-name": _node(disk_id, number)})
        except QmpError:
            return False
        return True

    def snapshot(self, tops: dict[str, tuple[int, int]]) -> float:
        """Put new overlays on top of disks, all at one instant.

        `tops` maps disk ids to the numbers of the present and the new top. Returns the seconds
        it took, during which writes were held back. On QmpError nothing has changed.
        """
        actions = [
            {
                "type": "blockdev-snapshot",
                "data": {"node": _node(disk_id, old), "overlay": _node(disk_id, new)},
            }
            for disk_id, (old, new) in tops.items()
        ]
        started = self._clock.monotonic()
        self._call("transaction", {"actions": actions})
        return self._clock.monotonic() - started

    # --- exports

    def served(self) -> dict[str, Served]:
        """All exports, by disk id."""
        found = {}
        for entry in self._call("query-block-exports"):
            _, disk_id, name = entry["id"].split(".")
            export = Export(disk_id, bytes.fromhex(name).decode())
            top = entry["node-name"].rpartition("-")[2]
            if not entry["shutting-down"] and top:
                found[disk_id] = Served(export, int(top))
        return found

    def serve(self, export: Export, top: int) -> None:
        """Export a disk whose layers are open."""
        options = {
            "type": "nbd",
            "id": _export_id(export),
            "node-name": _node(export.disk_id, top),
            "name": export.name,
            "writable": True,
        }
        self._call("block-export-add", options)

    def unserve(self, export: Export, *, force: bool) -> None:
        """End an export. Raises DiskBusyError if a client is connected, unless `force`."""
        mode = "hard" if force else "safe"
        try:
            self._call("block-export-del", {"id": _export_id(export), "mode": mode})
        except QmpError as error:
            if not force and "in use" in error.description:
                raise DiskBusyError(
                    f"a client is connected to disk {export.disk_id}, exported as {export.name!r}"
                ) from error
            if "not found" not in error.description:
                raise

    # --- merges

    def start_merge(self, disk_id: str, bottom: int, top: int, newest: int, named: str) -> None:
        """Begin to write the layers above `bottom` up to `top` into it.

        `newest` is the layer that takes the writes, which lies above them all. `named` is the
        name of the layer below that the header of the one right above `top` has now: it stays,
        until what the merge wrote is durable.
        """
        filtered = {
            "driver": "throttle",
            "node-name": _merge_node(disk_id),
            "throttle-group": MERGE_GROUP,
            "file": _node(disk_id, newest),
            "read-only": True,
        }
        # A job blocks snapshots of the node it is started on, down from which it looks for its
        # layers. So it gets a root of its own beside the export: a filter that limits nothing.
        self._call("blockdev-add", filtered)
        try:
            job = {
                "job-id": _merge_node(disk_id),
                "device": _merge_node(disk_id),
                "top-node": _node(disk_id, top),
                "base-node": _node(disk_id, bottom),
                "backing-file": named,
                "auto-dismiss": False,
                "speed": self._settings.merge_bytes_per_second,
            }
            self._call("block-commit", job)
        except QmpError:
            self._call("blockdev-del", {"node-name": _merge_node(disk_id)})
            raise

    def merge_status(self, disk_id: str) -> MergeStatus | None:
        """How the disk's merge stands; None if there is none."""
        for job in self._call("query-jobs"):
            if job["id"] == _merge_node(disk_id):
                return MergeStatus(job["status"] != "concluded", job.get("error", ""))
        return None

    def cancel_merge(self, disk_id: str) -> None:
        """Ask the disk's merge to end; it is over when `merge_status` says so."""
        # One that has just ended by itself refuses.
        with contextlib.suppress(QmpError):
            self._call("job-cancel", {"id": _merge_node(disk_id)})

    def clear_merge(self, disk_id: str) -> None:
        """Take away what a merge that is over, or never began, has left in the daemon."""
        for command, argument in (("job-dismiss", "id"), ("blockdev-del", "node-name")):
            with contextlib.suppress(QmpError):
                self._call(command, {argument: _merge_node(disk_id)})

    # ---

    def _may_discard(self) -> bool:
        # Discards on qcow2 could lose data before "qcow2: Fix corruption on discard during
        # write with COW", which is in 10.0.11 and, made after 11.0, not in 10.1 to 11.0.
        version = self._connected().version
        return (10, 0, 11) <= version < (10, 1) or version >= (11, 1)

    def _connected(self) -> Monitor:
        with self._lock:
            if self._monitor is None:
                if not self.alive():
                    raise QmpClosedError(
                        f"the storage daemon in {self.folder} has died: "
                        f"{process.log_tail(self.folder)}"
                    )
                path = self.folder / process.QMP_SOCKET
                self._monitor = Monitor(path, self._clock, self._settings.start_seconds)
            return self._monitor

    def _call(
        self,
        command: str,
        arguments: dict[str, object] | None = None,
        timeout: float | None = None,
    ) -> Any:
        monitor = self._connected()
        limit = self._settings.answer_seconds if timeout is None else timeout
        try:
            return monitor.execute(command, arguments, timeout=limit)
        except (QmpClosedError, QmpSilenceError):
            with self._lock:
                if self._monitor is monitor:
                    self._monitor = None
            raise


def _node(disk_id: str, number: int | str) -> str:
    # Node names have at most 31 bytes, fewer than an id.
    return f"d{_short(disk_id)}-{number}"


def _source_node(disk_id: str) -> str:
    return f"s{_short(disk_id)}"


def _merge_node(disk_id: str) -> str:
    return f"m{_short(disk_id)}"


def _short(disk_id: str) -> str:
    return hashlib.blake2s(disk_id.encode(), digest_size=8).hexdigest()


def _export_id(export: Export) -> str:
    return f"x.{export.disk_id}.{export.name.encode().hex()}"
