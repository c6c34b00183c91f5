"""What one storage daemon exports: disks over NBD."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.connection import Connection
from mooring.engine.qemu.daemon.nodes import layer_node
from mooring.host.qmp import QmpError
from mooring.model.errors import DiskBusyError


@dataclass(frozen=True, slots=True)
class Served:
    """An export as the daemon has it: `top` is the number of the layer that takes the writes."""

    export: Export
    top: int


class Exports:
    """The exports of one daemon."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def served(self) -> dict[str, Served]:
        """Those there are, by disk id."""
        found = {}
        for entry in self._connection.call("query-block-exports"):
            _, disk_id, name = entry["id"].split(".")
            export = Export(disk_id, bytes.fromhex(name).decode())
            top = entry["node-name"].rpartition("-")[2]
            if not entry["shutting-down"] and top:
                found[disk_id] = Served(export, int(top))
        return found

    def ended(self, export: Export) -> bool:
        """Whether there is no such export, and no request to it under way, any more."""
        found = self._connection.call("query-block-exports")
        return _export_id(export) not in {entry["id"] for entry in found}

    def add(self, export: Export, top: int) -> None:
        """Export a disk whose layers are open."""
        options = {
            "type": "nbd",
            "id": _export_id(export),
            "node-name": layer_node(export.disk_id, top),
            "name": export.name,
            "writable": True,
        }
        self._connection.call("block-export-add", options)

    def remove(self, export: Export, *, force: bool) -> None:
        """End an export. Raises DiskBusyError if a client is connected, unless `force`."""
        mode = "hard" if force else "safe"
        try:
            self._connection.call("block-export-del", {"id": _export_id(export), "mode": mode})
        except QmpError as error:
            if not force and "in use" in error.description:
                raise DiskBusyError(
                    f"a client is connected to disk {export.disk_id}, exported as {export.name!r}"
                ) from error
            if "not found" not in error.description:
                raise


def _export_id(export: Export) -> str:
    return f"x.{export.disk_id}.{export.name.encode().hex()}"
