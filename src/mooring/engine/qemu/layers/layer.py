"""One layer of a disk, and how the files and folders of layers are named."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.lineage import GROWN, ZERO_ORIGIN
from mooring.engine.qemu.layers.base_source import BaseSource
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.errors import EngineError

BASE_NAME = "base.raw"
FILLING_NAME = "base.raw.filling"
SHARED_NAME = "shared"
FORKED_NAME = "forked"
"""Among shared layers, the file that names the disks that they are of."""
BASE_NUMBER = 0


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REVERTED = re.compile(r"reverted-(\d{6,})-([0-9a-f-]{36})")
_OVERLAY = re.compile(r"(\d{6,})-([0-9a-f-]{36})\.qcow2")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer file: number 0 is the base, higher ones lie on top of lower ones.

    `point` is the id of the point right below the layer, empty for the base. A base that is
    still being filled has a `source`, from which it is read instead. A layer that is `shared`
    is another disk's file, too, and only read.
    """

    number: int
    point: str
    path: Path
    source: BaseSource | None = None
    shared: bool = False
    size: int = field(default=0, compare=False)
    """Bytes, where `check` tells of the layer; 0 otherwise."""
    below: int | None = field(default=None, compare=False)
    """The least bytes of the layer below, likewise; None if the file does not say."""
    store: LayerStore = field(default=DIRECTORY, compare=False, repr=False)
    """Where it lies."""


def overlay_name(number: int, point: str) -> str:
    """The name of an overlay's file."""
    return f"{number:06d}-{point}.qcow2"


def overlay_at(path: Path, store: LayerStore, *, shared: bool = False) -> Layer | None:
    """The overlay that the file is by its name; None if it is none."""
    match = _OVERLAY.fullmatch(path.name)
    return Layer(int(match[1]), match[2], path, shared=shared, store=store) if match else None


def number_of(name: str) -> int:
    """The number of the layer that has the name in its folder."""
    match = _OVERLAY.fullmatch(name)
    return int(match[1]) if match else BASE_NUMBER


def points(overlays: list[Layer]) -> list[str]:
    """The points that overlays are named after, without those that are no snapshot's."""
    return [layer.point for layer in overlays if layer.point not in (ZERO_ORIGIN, GROWN)]


def layer_folders(store: LayerStore, home: Path) -> list[Path]:
    """Where a disk has layers: its own folder, then one for each revert; the last one counts."""
    reverted = [name for name in store.names(home) if _REVERTED.fullmatch(name)]
    return [home, *(home / name for name in sorted(reverted, key=_number_of_revert))]


def reverted_folder(home: Path, number: int, point: str) -> Path:
    """Where the layers go whose first overlay has that number, after a revert."""
    return home / f"reverted-{number:06d}-{point}"


def point_of_revert(folder: Path) -> str | None:
    """The point that the revert left behind since which layers are there; None for a disk's own."""
    match = _REVERTED.fullmatch(folder.name)
    return match[2] if match else None


def _number_of_revert(name: str) -> int:
    return int(name.split("-")[1])


def check_id(text: str) -> None:
    """Raise EngineError unless `text` is a UUID in lower case, and thus a safe file name."""
    if not _UUID.fullmatch(text):
        raise EngineError(f"{text!r} is not an id: expected a UUID in lower case")
