"""The descriptions that lie beside disks' layers: docs/formats/description.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mooring.engine.qemu.layers.disk_layers import io_errors
from mooring.engine.qemu.layers.layer import check_id
from mooring.files import write_whole
from mooring.model.errors import EngineError

NAME = "disk.json"


def write(disks: Path, disk_id: str, text: bytes) -> None:
    """Replace the description of a disk, whole and durably. Raises EngineError, DiskFullError.

    It needs no lock of the disk: nobody else writes this file, and where the folder is being
    deleted there is nothing left to describe.
    """
    check_id(disk_id)
    folder = disks / disk_id
    with io_errors(disk_id):
        # Not where leftovers of layers are removed, by whoever has the lock of the disk.
        write_whole(folder / NAME, text, writing=folder / f"{NAME}.writing")


def read(disks: Path, disk_id: str) -> bytes | None:
    """The description of a disk, None if there is none. Raises EngineError."""
    check_id(disk_id)
    with io_errors(disk_id):
        try:
            return (disks / disk_id / NAME).read_bytes()
        except FileNotFoundError:
            return None


def read_all(disks: Path) -> Mapping[str, bytes]:
    """The descriptions by disk id. Raises EngineError."""
    found = {}
    try:
        for folder in disks.iterdir():
            path = folder / NAME
            if path.is_file():
                found[folder.name] = path.read_bytes()
    except OSError as error:
        raise EngineError(f"the descriptions in {disks} cannot be read: {error}") from error
    return found
