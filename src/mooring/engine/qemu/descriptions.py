"""The descriptions that lie beside disks' layers: docs/formats/description.md."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from mooring.engine.qemu.layers.disk_layers import io_errors
from mooring.engine.qemu.layers.layer import check_id
from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.errors import EngineError

NAME = "disk.json"


def write(store: LayerStore, disks: Path, disk_id: str, text: bytes) -> None:
    """Replace the description of a disk, whole and durably. Raises EngineError, DiskFullError.

    It needs no lock of the disk: nobody else writes this file, and where the folder is being
    deleted there is nothing left to describe.
    """
    check_id(disk_id)
    folder = disks / disk_id
    with io_errors(disk_id):
        # Not where leftovers of layers are removed, by whoever has the lock of the disk.
        store.write_text(folder / NAME, text, writing=folder / f"{NAME}.writing")


def read(store: LayerStore, disks: Path, disk_id: str) -> bytes | None:
    """The description of a disk, None if there is none. Raises EngineError."""
    check_id(disk_id)
    with io_errors(disk_id):
        try:
            return store.read_text(disks / disk_id / NAME)
        except FileNotFoundError:
            return None


def read_all(store: LayerStore, disks: Path) -> Mapping[str, bytes]:
    """The descriptions by disk id. Raises EngineError."""
    found = {}
    try:
        for name in store.names(disks):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[name] = store.read_text(disks / name / NAME)
    except OSError as error:
        raise EngineError(f"the descriptions in {disks} cannot be read: {error}") from error
    return found
