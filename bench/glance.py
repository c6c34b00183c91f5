"""How long `mooring status` and the lists take, and what watching costs.

    .venv/bin/python -m bench.glance [--disks N]

A server on a catalog of so many disks, three snapshots each. There are no layers of these disks, so
all of them are not well, which is the worst for whoever watches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mooring.admin.demo.server import ServerProcess, client_program, pause
from mooring.catalog.database import Catalog
from mooring.model.clock import SystemClock
from tests.catalog.many_rows import Amount, fill
from tests.e2e.processes import end_all

TIMES = 10
WATCHED_SECONDS = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disks", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-glance-") as folder:
        data = Path(folder) / "d"
        data.mkdir()
        url = f"sqlite:///{data / 'catalog.sqlite'}"
        catalog = Catalog(url)
        catalog.migrate()
        catalog.close()
        fill(url, Amount(disks=options.disks), SystemClock().now_ms())
        server = ServerProcess(data)
        server.start()
        try:
            _measure(server, options.disks)
        finally:
            server.stop()
            end_all(data)
    return 0


def _measure(server: ServerProcess, disks: int) -> None:
    print(f"{disks} disks; seconds of the whole command, median of {TIMES} (lists: once),")
    print("and CPU seconds of the server for each, which depend less on what else runs")
    print(f"status           {_seconds(server, TIMES, 'status')}")
    for kind in ("disks", "snapshots", "instances"):
        print(f"list {kind:<11} {_seconds(server, 1, 'list', kind)}")
    # Until all disks were looked at, and all that is wrong with them was entered.
    pause(2.0 * disks / 100 + 20)
    began = _cpu_seconds(server.pid)
    pause(WATCHED_SECONDS)
    used = (_cpu_seconds(server.pid) - began) / WATCHED_SECONDS
    print(f"the server then  {100 * used:7.1f} % of a core, with jobs that fail again and again")
    print(f"status           {_seconds(server, TIMES, 'status')}, all disks not well")


def _seconds(server: ServerProcess, times: int, *words: str) -> str:
    taken = []
    used = _cpu_seconds(server.pid)
    clock = SystemClock()
    command = [str(client_program("mooring")), *words]
    for _ in range(times):
        began = clock.monotonic()
        subprocess.run(command, env=server.environment(), stdout=subprocess.DEVNULL, check=True)
        taken.append(clock.monotonic() - began)
    used = (_cpu_seconds(server.pid) - used) / times
    return f"{statistics.median(taken):8.2f} {used:8.2f}"


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
