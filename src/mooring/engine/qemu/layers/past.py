"""What a disk held before it was reverted, kept as long as snapshots need it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.qemu.layers.base_source import REACHED_NAME, SOURCE_NAME
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
                layer.path.unlink(missing_ok=True)
            if layers.folder != layers.home:
                shutil.rmtree(layers.folder)
                return
            for name in (BASE_NAME, FILLING_NAME, SOURCE_NAME, REACHED_NAME):
                (layers.folder / name).unlink(missing_ok=True)
            if layers.shared_folder.exists():
                shutil.rmtree(layers.shared_folder)


def past_layers(disks: Path, present: DiskLayers) -> list[PastLayers]:
    """What is left of the times before a disk's reverts, oldest first."""
    folders = layer_folders(present.home)
    before = folders[: folders.index(present.folder)]
    found = [PastLayers(DiskLayers(disks, present.disk_id, folder)) for folder in before]
    return [one for one in found if _there(one.layers)]


def _there(layers: DiskLayers) -> bool:
    if layers.folder != layers.home:
        return True
    names = (BASE_NAME, FILLING_NAME, SOURCE_NAME)
    left = any((layers.folder / name).exists() for name in names)
    return left or layers.exist() or layers.shared_folder.exists()
