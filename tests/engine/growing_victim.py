"""A server's engine in a process of its own, killed while a disk grows."""

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
    "layers.disk_layers.DiskLayers.add_overlay",
    "daemon.open_layers.OpenLayers.add_top",
    "daemon.open_layers.OpenLayers.snapshot",
    "daemon.exports.Exports.remove",
    "daemon.exports.Exports.add",
]


def main(root: str, run_dir: str, instance: str, disk: str, size: str, step: str) -> None:
    """Take over the disk and make it larger; die when the step is done."""
    engine = QemuEngine(Path(root), Path(run_dir), SystemClock())
    engine.adopt({instance: [Export(disk, "disk-1")]})
    module, name, method = step.rsplit(".", 2)
    of = getattr(importlib.import_module(f"mooring.engine.qemu.{module}"), name)
    done = getattr(of, method)

    def die(*given: Any, **named: Any) -> None:
        done(*given, **named)
        os._exit(9)

    setattr(of, method, die)
    engine.grow(disk, int(size))


if __name__ == "__main__":
    main(*sys.argv[1:])
