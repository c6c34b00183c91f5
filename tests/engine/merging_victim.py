"""A server's engine in its own process, killed in a merge."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from mooring.engine.interface import Export
from mooring.engine.qemu.engine import QemuEngine
from mooring.model.clock import SystemClock

STEPS = [
    "merging.copying._Copying._copy_window",
    "merging.copying._Copying.run",
    "daemon.open_layers.OpenLayers.lay_on",
    "daemon.open_layers.OpenLayers.drop_unused",
    "layers.disk_layers.DiskLayers.relink",
    "layers.disk_layers.DiskLayers.remove",
]


def main(root: str, run_dir: str, instance: str, disk: str, step: str) -> None:
    """Take over the disk, attached or not, and merge all; die when the step is done."""
    engine = QemuEngine(Path(root), Path(run_dir), SystemClock())
    module, name, method = step.rsplit(".", 2)
    of = getattr(importlib.import_module(f"mooring.engine.qemu.{module}"), name)
    done = getattr(of, method)

    def die(*given: Any, **named: Any) -> None:
        done(*given, **named)
        os._exit(9)

    setattr(of, method, die)
    if instance:
        engine.adopt({instance: [Export(disk, "disk-1")]})
    for point in engine.points(disk):
        engine.release(disk, point, stored=True)
    engine.settle(30)


if __name__ == "__main__":
    main(*sys.argv[1:])
