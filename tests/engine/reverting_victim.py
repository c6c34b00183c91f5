"""A server's engine in a process of its own, killed while a disk is reverted."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from mooring.engine.interface import Export, Source
from mooring.engine.qemu.engine import QemuEngine
from mooring.model.clock import SystemClock

BEFORE = [
    "layers.disk_layers.DiskLayers.begin_lazy_base",
    "layers.disk_layers.DiskLayers.add_overlay",
    "daemon.exports.Exports.remove",
    "daemon.open_layers.OpenLayers.drop",
    "reverting._freeze",
]
"""Steps after which the disk holds what it held."""

AFTER = [
    "layers.past.PastLayers",
    "reverting._switch",
    "daemon.open_layers.OpenLayers.add",
    "daemon.exports.Exports.add",
]
"""Steps after which it holds the snapshot."""


def main(
    root: str, run_dir: str, instance: str, disk: str, uri: str, ids: str, size: str, step: str
) -> None:
    """Take over the disk and revert it; die when the step is done."""
    engine = QemuEngine(Path(root), Path(run_dir), SystemClock())
    engine.adopt({instance: [Export(disk, "disk-1")]})
    snapshot, point = ids.split(",")
    found: Any = sys.modules["mooring.engine.qemu.reverting"]
    *path, last = step.split(".")
    if last != "PastLayers" and path != ["reverting"]:
        *modules, name = path
        found = getattr(importlib.import_module(".".join(["mooring.engine.qemu", *modules])), name)
    done = getattr(found, last)

    def die(*given: Any, **named: Any) -> None:
        done(*given, **named)
        os._exit(9)

    setattr(found, last, die)
    source = Source(snapshot, int(size), uri, NotImplemented)
    engine.revert(disk, source, point, size=int(size))


if __name__ == "__main__":
    main(*sys.argv[1:])
