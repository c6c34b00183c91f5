"""I/O of a disk and of its fork while that is copied, without reflinks.

    .venv/bin/python -m bench.fork_copy --folder /var/tmp --size 16 --changed-mib 8192

Writers of 4 KiB at random at queue depth 16, in the folder's own file system: on the disk before it
is forked; on it and on the fork for as long as the fork is copied, to the last flush; and on both
afterwards. Operations a second, and how long the slowest hundredth took at least. And how long the
copy takes, beside the writers and without any.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from bench import fio
from bench.fork import GIB, attach, disk, gone, mounted, serving
from mooring.admin.demo.server import ServerProcess, pause

RANDOM = fio.LOADS["random"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int, default=16, help="GB")
    parser.add_argument("--changed-mib", type=int, default=8192)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the rates before and after")
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    with mounted(options.folder, "here") as folder, serving(folder) as server:
        uri = disk(server, options.size, options.changed_mib)
        measure(server, uri, options.size * GIB, options.seconds)
        gone(server, "data")
        server.run("mooring", "delete-disk-snapshot", "--disk-snapshot-name", "last")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    return 0


def measure(server: ServerProcess, uri: str, size: int, seconds: float) -> None:
    """Print what the writers saw before, while the fork is copied, and after."""
    alone = idle_copy(server)
    with fio.load(uri, RANDOM, size) as before:
        pause(seconds)
    began = time.monotonic()
    server.run("mooring", "fork", "--disk-name", "data", "--new-disk-name", "fork")
    twin = attach(server, "fork", "reader")
    with fio.load(uri, RANDOM, size) as disk_now, fio.load(twin, RANDOM, size) as fork_now:
        while not filled(server):
            pause(0.1)
        took = time.monotonic() - began
    with fio.load(uri, RANDOM, size) as disk_after, fio.load(twin, RANDOM, size) as fork_after:
        pause(seconds)
    print(f"disk before: {told(before)}")
    print(f"meanwhile: disk {told(disk_now)}; fork {told(fork_now)}")
    print(f"after: disk {told(disk_after)}; fork {told(fork_after)}")
    print(f"copied in {took:.1f} s; {alone:.1f} s while nobody used the disks", flush=True)
    gone(server, "fork")


def idle_copy(server: ServerProcess) -> float:
    """Fork while nobody uses the disks; seconds until it is copied."""
    began = time.monotonic()
    server.run("mooring", "fork", "--disk-name", "data", "--new-disk-name", "fork")
    while not filled(server):
        pause(0.1)
    took = time.monotonic() - began
    server.run("mooring", "delete-disk", "--disk-name", "fork")
    return took


def filled(server: ServerProcess) -> bool:
    return bool(server.ask("disk", diskName="fork")["filled"])


def told(seen: fio.Seen) -> str:
    return f"{seen.rate:.0f} writes/s, p99 {seen.p99 * 1e3:.1f}, worst {seen.worst * 1e3:.0f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
