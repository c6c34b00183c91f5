"""A server's engine in a process of its own, freezing until it is killed."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.model.clock import SystemClock
from mooring.model.errors import EngineError
from tests.engine.harness import new_id


def main(root: str, run_dir: str, instance: str, disk: str, speed: str) -> None:
    """Take over the disk, then freeze and release as fast as it goes, telling each point."""
    # Fewer layers than others may leave, so that whoever comes next can freeze once more.
    settings = DaemonSettings(merge_bytes_per_second=int(speed), most_layers=48)
    engine = QemuEngine(Path(root), Path(run_dir), SystemClock(), settings)
    engine.adopt({instance: [Export(disk, "disk")]})
    # As the server does: what the one before was at work on is not needed any more.
    for point in engine.points(disk):
        engine.release(disk, point, stored=random.random() < 0.5)
    print("adopted", flush=True)
    while True:
        point = new_id()
        try:
            engine.freeze({disk: point})
        except EngineError as error:
            if "not merged yet" not in str(error):
                raise
            time.sleep(0.05)
            continue
        print(point, flush=True)
        engine.release(disk, point, stored=random.random() < 0.7)


if __name__ == "__main__":
    main(*sys.argv[1:])
