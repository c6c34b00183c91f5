"""How soon a system disk can be read, whatever the blueprint's size and content.

    .venv/bin/python -m bench.system_disks --folder /var/tmp --sizes 8 1024 --written-mib 16 1024

For each size in GB and amount written, half of which is compressible: a blueprint is made of a
disk. By turns, from the start of the command until the first 4 KiB are read: `mooring
create-instances --wait` and `mooring uri` with the blueprint, and the read; and what others do at
least: `qemu-img create -b` on a file as large, a storage daemon, and the read. Instances are
deleted after each round. Seconds, medians of the rounds; beside them what the client takes that
does nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from bench.fork import MAKE, ZONE, Floor, Times, disk, gone, mounted, read, serving
from mooring.admin.demo.server import ServerProcess

BLUEPRINT = "golden"
MIB, GIB = 1024**2, 1024**3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--kinds", nargs="+", choices=MAKE, default=["ext4"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 1024])
    parser.add_argument("--written-mib", type=int, nargs="+", default=[16, 1024])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    for kind in options.kinds:
        with mounted(options.folder, kind) as folder, serving(folder) as server:
            measure(server, folder, kind, options)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    return 0


def measure(server: ServerProcess, folder: Path, kind: str, options: argparse.Namespace) -> None:
    idle = statistics.median(server.run("mooring", "--version").seconds for _ in range(9))
    print(f"{kind}: a client that does nothing takes {idle:.3f}", flush=True)
    print("size GB, written MiB: total (the commands + the first read, worst)", flush=True)
    floor = Floor(folder / "floor")
    for size in options.sizes:
        for written in options.written_mib:
            if written * MIB > size * GIB:
                continue
            blueprint(server, size, written)
            made, plain = Times(), Times()
            for number in range(options.rounds):
                by_blueprint(server, made, f"vm-{number}")
                floor.measure(plain, size)
            print(f"{size:7}{written:9}  instance      {made}", flush=True)
            print(f"{'':16}  qemu-img -b   {plain}", flush=True)
            server.run("mooring", "delete-blueprint", "--blueprint-id", BLUEPRINT)


def blueprint(server: ServerProcess, size: int, written: int) -> None:
    """Make the blueprint, and leave nothing else."""
    disk(server, size, written)
    server.run(
        "mooring", "create-disk-snapshot", "--disk-name", "data", "--disk-snapshot-name", "source",
        "--wait",
    )  # fmt: skip
    server.run("mooring", "import", "--disk-snapshot-name", "source", "--blueprint-id", BLUEPRINT)
    for name in ("last", "source"):
        server.run("mooring", "delete-disk-snapshot", "--disk-snapshot-name", name)
    gone(server, "data")


def by_blueprint(server: ServerProcess, times: Times, name: str) -> None:
    began = time.monotonic()
    server.run(
        "mooring", "create-instances", "--instance-names", name, "--availability-zone", ZONE,
        "--blueprint-id", BLUEPRINT, "--bundle-id", "external", "--wait",
    )  # fmt: skip
    uri = server.run("mooring", "uri", "--instance-name", name).output.strip()
    commanded = time.monotonic()
    read(uri)
    times.add(began, commanded, commanded)
    server.run("mooring", "delete-instance", "--instance-name", name, "--wait")


if __name__ == "__main__":
    raise SystemExit(main())
