"""How much memory a server takes to snapshot a very large disk.

    .venv/bin/python -m bench.memory --size-gib 1024 --written-gib 100

As root. The data of the disk take less room than they have: its base is put together from clones
of 1 GiB (`FICLONERANGE`) on an XFS in a file, each shifted by a block against the one before, so
that no 512 KiB are the same as others. The vault is there, too, compressed to about an eighth.
Prints the peak of the server's resident memory (`VmHWM`) at the start, after the first snapshot,
and after a second one with some random writes, with what they took.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mooring.admin.demo.server import ServerProcess, pause
from mooring.nbd.blocking import BlockingNbdClient

MIB = 1024 * 1024
GIB = 1024 * MIB
BLOCK = 4096
FICLONERANGE = 0x4020940D
ZONE = "us-east-2a"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size-gib", type=int, default=1024)
    parser.add_argument("--written-gib", type=int, default=100)
    parser.add_argument("--changes", type=int, default=10_000, help="blocks, before the second")
    parser.add_argument("--work", type=Path, help="where there is room for the vault")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="m-", dir=options.work) as work,
        xfs(Path(work), options.size_gib) as folder,
    ):
        measure(folder, options.size_gib, options.written_gib, options.changes)
    return 0


@contextmanager
def xfs(work: Path, size_gib: int) -> Iterator[Path]:
    """A file system that clones, in a sparse file."""
    file, folder = work / "xfs", work / "mounted"
    folder.mkdir()
    with file.open("wb") as made:
        made.truncate(size_gib * GIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(file)], check=True)
    subprocess.run(["mount", "-o", "loop", str(file), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def measure(folder: Path, size_gib: int, written_gib: int, changes: int) -> None:
    serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    server = ServerProcess(folder, serve)
    server.start()
    try:
        place = ("--availability-zone", ZONE)
        server.run(
            "mooring", "create-instances", "--instance-names", "host", *place,
            "--blueprint-id", "external", "--bundle-id", "external",
        )  # fmt: skip
        server.run(
            "mooring", "create-disk", "--disk-name", "large", "--size-in-gb", str(size_gib), *place
        )
        server.available("large")
        server.stop()
        write(next(folder.glob("**/base.raw")), written_gib)
        server.start()
        print(f"before: {peak(server.pid):.0f} MiB", flush=True)
        snapshot(server, "first")
        server.run(
            "mooring", "attach-disk", "--disk-name", "large", "--instance-name", "host",
            "--disk-path", "/dev/xvdf",
        )  # fmt: skip
        with BlockingNbdClient(server.attached("large")) as client:
            for block in random.Random(1).sample(range(written_gib * GIB // BLOCK), changes):
                client.write(block * BLOCK, os.urandom(BLOCK))
            client.flush()
        snapshot(server, "second")
        server.run("mooring", "stop-instance", "--instance-name", "host")
        pause(2)
    finally:
        server.stop()


def write(base: Path, written_gib: int) -> None:
    """Put the data of a disk that nobody uses into its base."""
    seed = base.with_name("seed")
    with seed.open("wb") as file:
        for _ in range((GIB + written_gib * BLOCK) // MIB + 1):
            file.write(b"".join(os.urandom(512) * 8 for _ in range(MIB // BLOCK)))
    source, target = os.open(seed, os.O_RDONLY), os.open(base, os.O_RDWR)
    for number in range(written_gib):
        clone = struct.pack("qQQQ", source, number * BLOCK, GIB, number * GIB)
        fcntl.ioctl(target, FICLONERANGE, clone)
    os.fsync(target)
    os.close(source)
    os.close(target)
    seed.unlink()


def snapshot(server: ServerProcess, name: str) -> None:
    began = time.monotonic()
    server.run(
        "mooring", "create-disk-snapshot", "--disk-name", "large", "--disk-snapshot-name", name
    )
    asked = time.monotonic() - began
    while (found := server.ask("snapshot", diskSnapshotName=name))["state"] == "pending":
        pause(0.5)
    print(
        f"{name}: answered after {asked:.2f} s, stored in {time.monotonic() - began:.0f} s, "
        f"{found['state']}; peak of the server {peak(server.pid):.0f} MiB",
        flush=True,
    )


def peak(pid: int) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
