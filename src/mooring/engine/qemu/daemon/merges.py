"""Merges of layers in one storage daemon: its block-commit jobs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mooring.engine.qemu.daemon.connection import Connection
from mooring.engine.qemu.daemon.nodes import layer_node, merge_node
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.host.qmp import QmpError
from mooring.model.clock import Clock
from mooring.model.errors import EngineError

MERGE_GROUP = "merge"
"""The throttle group, without limits, that every daemon is started with."""

_CANCEL_PAUSE = 0.005


@dataclass(frozen=True, slots=True)
class MergeStatus:
    """How a merge stands; `error` says why it failed, empty if it did not."""

    running: bool
    error: str = ""


class Merges:
    """The merges of one daemon, at most one for each disk."""

    def __init__(self, connection: Connection, settings: DaemonSettings, clock: Clock) -> None:
        self._connection = connection
        self._settings = settings
        self._clock = clock

    def start(self, disk_id: str, bottom: int, top: int, newest: int, named: str) -> None:
        """Begin to write the layers above `bottom` up to `top` into it.

        `newest` is the layer that takes the writes, which lies above them all. `named` is the
        name of the layer below that the header of the one right above `top` has now: it stays,
        until what the merge wrote is durable.
        """
        filtered = {
            "driver": "throttle",
            "node-name": merge_node(disk_id),
            "throttle-group": MERGE_GROUP,
            "file": layer_node(disk_id, newest),
            "read-only": True,
        }
        # A job blocks snapshots of the node it is started on, down from which it looks for its
        # layers. So it gets a root of its own beside the export: a filter that limits nothing.
        self._connection.call("blockdev-add", filtered)
        try:
            job = {
                "job-id": merge_node(disk_id),
                "device": merge_node(disk_id),
                "top-node": layer_node(disk_id, top),
                "base-node": layer_node(disk_id, bottom),
                "backing-file": named,
                "auto-dismiss": False,
                "speed": self._settings.merge_bytes_per_second,
            }
            self._connection.call("block-commit", job)
        except QmpError:
            self._connection.call("blockdev-del", {"node-name": merge_node(disk_id)})
            raise

    def status(self, disk_id: str) -> MergeStatus | None:
        """How the disk's merge stands; None if there is none."""
        for job in self._connection.call("query-jobs"):
            if job["id"] == merge_node(disk_id):
                return MergeStatus(job["status"] != "concluded", job.get("error", ""))
        return None

    def cancel(self, disk_id: str) -> None:
        """Ask the disk's merge to end; it is over when `status` says so."""
        # One that has just ended by itself refuses.
        with contextlib.suppress(QmpError):
            self._connection.call("job-cancel", {"id": merge_node(disk_id)})

    def end(self, disk_id: str) -> None:
        """Cancel the disk's merge, if there is one, and take away what it leaves.

        Raises EngineError.
        """
        deadline = self._clock.monotonic() + self._settings.answer_seconds
        while (status := self.status(disk_id)) is not None and status.running:
            self.cancel(disk_id)
            if self._clock.monotonic() > deadline:
                raise EngineError(f"the merge of layers of disk {disk_id} does not end")
            self._clock.sleep(_CANCEL_PAUSE)
        self.clear(disk_id)

    def clear(self, disk_id: str) -> None:
        """Take away what a merge that is over, or never began, has left in the daemon."""
        for command, argument in (("job-dismiss", "id"), ("blockdev-del", "node-name")):
            with contextlib.suppress(QmpError):
                self._connection.call(command, {argument: merge_node(disk_id)})
