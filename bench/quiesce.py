"""What it costs to bring a mounted file system to rest for a snapshot.

One server, one ext4 on a disk attached to this host, as root; snapshots in turns with the disk's
tag `mooring:quiesce` at `off` and at `try`, idle and while files are written, every third with
fsync. Prints medians in milliseconds: the whole command, the engine's pause, the users' rest.

    .venv/bin/python -m bench.quiesce --snapshots 20
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mooring.admin.demo.server import ServerProcess

ZONE = "us-east-2a"
WISHES = ("off", "try")


def wait(server: ServerProcess, wanted: str, *words: str, member: str) -> None:
    server.until(wanted, *words, member=member)


@contextmanager
def mounted(server: ServerProcess, folder: Path) -> Iterator[Path]:
    """An ext4 on a disk attached to this host."""
    place = ("--availability-zone", ZONE)
    server.run("mooring", "create-disk", "--disk-name", "data", "--size-in-gb", "8", *place)
    blueprint = ("--blueprint-id", "host", "--bundle-id", "external")
    server.run("mooring", "create-instances", "--instance-names", "here", *blueprint, *place)
    wait(server, "available", "get-disk", "--disk-name", "data", member="disk.state")
    attach = ("mooring", "attach-disk", "--disk-name", "data", "--instance-name", "here")
    server.run(*attach, "--disk-path", "/dev/xvdf")
    wait(server, "attached", "get-disk", "--disk-name", "data", member="disk.attachmentState")
    device = server.run("mooring", "device", "--disk-name", "data").output.strip()
    subprocess.run(["mkfs.ext4", "-q", "-E", "nodiscard", device, "1G"], check=True)
    mount = folder / "mount"
    mount.mkdir()
    subprocess.run(["mount", device, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)
        server.run("mooring", "stop-instance", "--instance-name", "here")
        words = ("get-instance-state", "--instance-name", "here")
        wait(server, "stopped", *words, member="state.name")


@contextmanager
def writing(mount: Path) -> Iterator[list[float]]:
    """Files are written; the seconds that each took."""
    stop = threading.Event()
    took: list[float] = []

    def write() -> None:
        while not stop.is_set():
            began = time.monotonic()
            with (mount / f"f{len(took) % 500}").open("wb") as file:
                file.write(os.urandom(50_000))
                if len(took) % 3 == 0:
                    file.flush()
                    os.fsync(file.fileno())
            took.append(time.monotonic() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def measure(server: ServerProcess, name: str, count: int) -> None:
    """Take snapshots in turns, and print what they cost."""
    found: dict[str, list[Mapping[str, Any]]] = {wish: [] for wish in WISHES}
    replies: dict[str, list[float]] = {wish: [] for wish in WISHES}
    for number in range(count):
        for wish in WISHES:
            tag = f"key=mooring:quiesce,value={wish}"
            server.run("mooring", "tag-resource", "--resource-name", "data", "--tags", tag)
            snapshot = f"{name}-{wish}-{number}"
            words = ("mooring", "create-disk-snapshot", "--disk-name", "data")
            ran = server.run(*words, "--disk-snapshot-name", snapshot)
            replies[wish].append(ran.seconds)
            wait(
                server,
                "completed",
                *("get-disk-snapshot", "--disk-snapshot-name", snapshot),
                member="diskSnapshot.state",
            )
            found[wish].append(server.ask("snapshot", diskSnapshotName=snapshot))
    for wish in WISHES:
        pauses = [one["pauseSeconds"] * 1000 for one in found[wish]]
        rests = [(one["quiesceSeconds"] or 0) * 1000 for one in found[wish]]
        kinds = {one["consistency"] for one in found[wish]}
        print(
            f"{name:8}{wish:6}{statistics.median(replies[wish]) * 1000:10.1f}"
            f"{statistics.median(pauses):10.1f}{statistics.median(rests):10.1f}"
            f"{max(rests):10.1f}  {', '.join(sorted(kinds))}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=20)
    count = parser.parse_args().snapshots
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        server = ServerProcess(folder / "data")
        server.log = folder / "log"
        server.start()
        try:
            with mounted(server, folder) as mount:
                print("milliseconds       command     pause     rest      worst  kinds")
                measure(server, "idle", count)
                with writing(mount):
                    measure(server, "writing", count)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
