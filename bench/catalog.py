"""What requests and timers ask of a large catalog, and which statements read whole tables.

    .venv/bin/python -m bench.catalog --disks 100000
    .venv/bin/python -m bench.catalog --disks 100000 --postgresql

The catalog is generated: of each disk there are some snapshots, twice as many operations, a rhythm
and tags. A server in memory asks it, whose statements are recorded; each of them is explained
then. `whole` is what one of them reads of a whole table or index. The roots in the vault are
there, but empty.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from mooring.catalog.database import Catalog
from tests.catalog.asking import asked, pretend
from tests.catalog.many_rows import Amount, fill
from tests.catalog.plans import recorded, scans
from tests.catalog.postgresql import PostgreSQL, find_binaries
from tests.service.world import World

SLOW = 0.005
"""A statement that takes longer, in seconds, is shown even if it reads no whole table."""


@contextmanager
def _database(postgresql: bool, folder: Path) -> Iterator[str]:
    if not postgresql:
        yield f"sqlite:///{folder / 'catalog.sqlite'}"
        return
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgreSQL(binaries)
    try:
        yield server.url()
    finally:
        server.close()


def _measure(url: str, name: str, ask: Callable[[], Any]) -> None:
    with recorded() as executed:
        began = time.perf_counter()
        ask()
        taken = time.perf_counter() - began
    print(f"{name:42} {taken * 1000:10.1f} ms {len(executed):4} statements", flush=True)
    whole = scans(url, list(executed.values()))
    for text, one in executed.items():
        slowest = max(one.seconds)
        if text in whole or slowest > SLOW:
            told = " ".join(text.split())
            print(f"    {slowest * 1000:8.1f} ms {len(one.seconds):4} times  {told[:150]}")
            for line in whole.get(text, []):
                print(f"        whole: {line.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--disks", type=int, default=10_000)
    parser.add_argument("--snapshots", type=int, default=3, help="of each disk")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--folder", default=None, help="where the SQLite file is made")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with (
        TemporaryDirectory(prefix="mooring-", dir=given.folder) as folder,
        _database(given.postgresql, Path(folder)) as url,
    ):
        catalog = Catalog(url)
        world = World(catalog=catalog)
        began = time.perf_counter()
        fill(url, Amount(disks=given.disks, snapshots=given.snapshots), world.clock.now_ms())
        print(f"{given.disks} disks made in {time.perf_counter() - began:.0f} s", flush=True)
        pretend(world, given.disks)
        for name, ask in asked(world, given.disks):
            if given.only in name:
                _measure(url, name, ask)
        world.close()


if __name__ == "__main__":
    main()
