"""What a disk held before it was reverted, kept as long as snapshots need it."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.qemu.layers.base_source import SOURCE_NAME, forget_source
from mooring.engine.qemu.layers.disk_layers import DiskLayers, io_errors
from mooring.engine.qemu.layers.layer import BASE_NAME, FILLING_NAME, layer_folders, points


@dataclass(eq=False)
class PastLayers:
    """Layers that nobody writes any more, and which of their points are released."""

    layers: DiskLayers
    released: set[str] = field(default_factory=set)

    def points(self) -> list[str]:
        """The points that can be opened, oldest first."""
        return points(self.layers.overlays()[1:])

    def needed(self, pinned: Container[str]) -> bool:
        """Whether a point may still be opened, or is open: it is among `pinned`."""
        return any(one in pinned or one not in self.released for one in self.points())

    def remove(self) -> None:
        """Remove the files. Killed meanwhile, or out of luck, it is begun again."""
        layers = self.layers
        # While there is a deletion of the whole disk they may go at any time.
        with io_errors(layers.disk_id), contextlib.suppress(FileNotFoundError):
            # From the top down, so that whatever is left are layers of points that were needed.
            for layer in reversed(layers.overlays()):
                layers.store.remove(layer.path)
            if layers.folder != layers.home:
                layers.store.remove_folder(layers.folder)
                return
            for name in (BASE_NAME, FILLING_NAME):
                layers.store.remove(layers.folder / name)
            forget_source(layers.store, layers.folder)
            if layers.store.exists(layers.shared_folder):
                layers.store.remove_folder(layers.shared_folder)


def past_layers(disks: Path, present: DiskLayers) -> list[PastLayers]:
    """What is left of the times before a disk's reverts, oldest first."""
    store, disk_id = present.store, present.disk_id
    folders = layer_folders(store, present.home)
    before = folders[: folders.index(present.folder)]
    found = [PastLayers(DiskLayers(disks, disk_id, folder, store=store)) for folder in before]
    return [one for one in found if _there(one.layers)]


def _there(layers: DiskLayers) -> bool:
    if layers.folder != layers.home:
        return True
    names = (BASE_NAME, FILLING_NAME, SOURCE_NAME)
    left = any(layers.store.exists(layers.folder / name) for name in names)
    return left or layers.exist() or layers.store.exists(layers.shared_folder)
