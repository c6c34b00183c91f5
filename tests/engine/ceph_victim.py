"""A host in a process of its own, at work on a disk in Ceph.

Each line that it prints is one thing done, or about to be done: its disk's history, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from mooring.engine.interface import Export
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.stores.rbd.place import RbdPlace
from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.blocking import BlockingNbdClient
from tests.engine.harness import new_id, noise

MOST_POINTS = 3


def main(root: str, run_dir: str, instance: str, disk: str, host: str, place: str) -> None:
    store = RbdStore(RbdPlace(**json.loads(place)), host, SystemClock(), host)
    engine = QemuEngine(Path(root), Path(run_dir), SystemClock(), store=store)
    export = Export(disk, "disk")
    engine.adopt({instance: [export]})
    for point in engine.points(disk):
        engine.release(disk, point, stored=True)
    client = BlockingNbdClient(engine.uri(instance, export.name))
    blocks = client.info.size // BLOCK_SIZE
    points: list[str] = []
    tell(pid=store.client.pid())
    while True:
        chance = random.random()
        if chance < 0.6:
            first, seed = random.randrange(blocks), random.randrange(1 << 30)
            count = min(random.choice([1, 1, 2, 30]), blocks - first)
            tell(begun=[first, count])
            client.write(first * BLOCK_SIZE, noise(seed, count * BLOCK_SIZE))
            tell(written=[first, count, seed])
        elif chance < 0.8:
            client.flush()
            tell(flushed=True)
        elif chance < 0.9 and len(points) < MOST_POINTS:
            points.append(new_id())
            engine.freeze({disk: points[-1]})
            tell(frozen=points[-1])
        elif points:
            point = points.pop(random.randrange(len(points)))
            tell(released=point)
            engine.release(disk, point, stored=random.random() < 0.7)


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
