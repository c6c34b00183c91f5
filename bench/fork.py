"""How soon a fork can be read, whatever its size and however much has changed.

    .venv/bin/python -m bench.fork --folder /var/tmp --sizes 8 1024 --changed-mib 16 1024 20480

For each file system (on a loop device in `--folder`, or `here`, that of the folder), size in GB and
amount changed since the last snapshot, half of which is compressible: a disk in use is forked. By
turns, from the start of the command until the first 4 KiB are read: `mooring fork`, `attach-disk
--wait` to an instance without other disks, and the read; `mooring fork --instance-name`, and the
read; and what others do at least: `qemu-img create -b` on a file as large, a storage daemon, and
the read. Forks are deleted after each round. Once, up to `--vault-mib`, the way through the vault:
create-disk-snapshot, create-disk-from-snapshot, attach-disk, each waited for. Seconds, medians of
the rounds; beside them what a client takes that does nothing, and one fsync of a small file. Each
begins when what the one before left is merged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.plain_daemon import PlainDaemon
from mooring.admin.demo.server import ServerProcess, pause
from mooring.nbd.blocking import BlockingNbdClient

MIB, GIB = 1024**2, 1024**3
PIECE = 4 * MIB
ZONE = "us-east-2a"
PATIENCE = 600.0
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"], "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"]}


@dataclass
class Times:
    """Seconds of each round: all of it, and the parts."""

    total: list[float] = field(default_factory=list)
    command: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)

    def add(self, began: float, commanded: float, attached: float) -> None:
        now = time.monotonic()
        self.total.append(now - began)
        self.command.append(commanded - began)
        self.read.append(now - attached)

    def __str__(self) -> str:
        if not self.total:
            return f"{'-':>9}"
        parts = [statistics.median(one) for one in (self.total, self.command, self.read)]
        return f"{parts[0]:9.3f} ({parts[1]:.3f} + {parts[2]:.3f}, worst {max(self.total):.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--kinds", nargs="+", choices=[*MAKE, "here"], default=list(MAKE))
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 1024])
    parser.add_argument("--changed-mib", type=int, nargs="+", default=[16, 1024])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--vault-mib", type=int, default=1024, help="most changed for that way")
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    for kind in options.kinds:
        with mounted(options.folder, kind) as folder, serving(folder) as server:
            measure(server, folder, kind, options)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    return 0


@contextmanager
def mounted(parent: Path, kind: str) -> Iterator[Path]:
    """A file system of its own, in a sparse file; `here`: that of the folder."""
    work = Path(tempfile.mkdtemp(prefix="fork-", dir=parent))
    if kind == "here":
        try:
            yield work
        finally:
            shutil.rmtree(work)
        return
    image, folder = work / "image", work / "m"
    with image.open("wb") as file:
        file.truncate(shutil.disk_usage(parent).free)
    subprocess.run([*MAKE[kind], str(image)], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        shutil.rmtree(work)


@contextmanager
def serving(folder: Path) -> Iterator[ServerProcess]:
    run = Path(tempfile.mkdtemp(prefix="m-"))
    config = run / "bench.toml"
    config.write_text(f'[engine]\nrun = "{run}/run"\n')
    serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    server = ServerProcess(folder / "d", [*serve, "--config", str(config)])
    server.log = run / "log"
    try:
        server.start()
        for name in ("host", "reader"):
            server.run(
                "mooring", "create-instances", "--instance-names", name, "--availability-zone",
                ZONE, "--blueprint-id", "external", "--bundle-id", "external",
            )  # fmt: skip
        yield server
    finally:
        for name in ("host", "reader"):
            server.run("mooring", "stop-instance", "--instance-name", name, "--wait")
        pause(2)
        server.stop()
        shutil.rmtree(run)


def measure(server: ServerProcess, folder: Path, kind: str, options: argparse.Namespace) -> None:
    idle = statistics.median(server.run("mooring", "--version").seconds for _ in range(9))
    print(f"{kind}: a client that does nothing takes {idle:.3f}", flush=True)
    print("size GB, changed MiB: total (the command + the first read, worst)", flush=True)
    floor = Floor(folder / "floor")
    for size in options.sizes:
        for changed in options.changed_mib:
            if changed * MIB > size * GIB:
                continue
            disk(server, size, changed)
            fork, instance, plain, vault = Times(), Times(), Times(), Times()
            syncs: list[float] = []
            few = layers(server) + 1
            for number in range(options.rounds):
                settle(server, few)
                syncs += [synced(folder) for _ in range(5)]
                by_disk(server, fork, number)
                settle(server, few)
                by_instance(server, instance, number)
                floor.measure(plain, size)
            print(f"{size:7}{changed:9}  fork          {fork}", flush=True)
            print(f"{'':16}  of instance   {instance}", flush=True)
            print(f"{'':16}  qemu-img -b   {plain}", flush=True)
            told = f"{statistics.median(syncs):9.4f} (mean {statistics.fmean(syncs):.4f})"
            print(f"{'':16}  one fsync     {told}", flush=True)
            if changed <= options.vault_mib:
                by_vault(server, vault, size)
                print(f"{'':16}  by the vault  {vault}", flush=True)
            gone(server, "data")
            server.run("mooring", "delete-disk-snapshot", "--disk-snapshot-name", "last")


def disk(server: ServerProcess, size: int, changed: int) -> str:
    """A disk in use with so much changed since its last snapshot; returns its URI."""
    server.run(
        "mooring", "create-disk", "--disk-name", "data", "--availability-zone", ZONE,
        "--size-in-gb", str(size),
        "--tags", "key=mooring:shared,value=true",
    )  # fmt: skip
    server.available("data")
    uri = attach(server, "data", "host")
    with BlockingNbdClient(uri) as client:
        client.write(0, os.urandom(PIECE))
        client.flush()
    server.run("mooring", "create-disk-snapshot", "--disk-name", "data",
               "--disk-snapshot-name", "last")  # fmt: skip
    server.run("mooring", "wait", "disk-snapshot-completed", "--disk-snapshot-name", "last")
    count = changed * MIB // PIECE
    step = max(PIECE, size * GIB // count // PIECE * PIECE)
    with BlockingNbdClient(uri) as client:
        for number in range(count):
            data = os.urandom(PIECE // 2) + os.urandom(1024) * (PIECE // 2048)
            client.write(number * step % (size * GIB), data)
        client.flush()
    return uri


def by_disk(server: ServerProcess, times: Times, number: int) -> None:
    name = f"fork-{number}"
    began = time.monotonic()
    server.run("mooring", "fork", "--disk-name", "data", "--new-disk-name", name)
    commanded = time.monotonic()
    uri = attach(server, name, "reader")
    attached = time.monotonic()
    read(uri)
    times.add(began, commanded, attached)
    gone(server, name)


def by_instance(server: ServerProcess, times: Times, number: int) -> None:
    name = f"twin-{number}"
    began = time.monotonic()
    server.run("mooring", "fork", "--instance-name", "host", "--new-instance-name", name)
    commanded = time.monotonic()
    uri = str(server.ask("uri", diskName=f"{name}-data")["uri"])
    attached = time.monotonic()
    read(uri)
    times.add(began, commanded, attached)
    gone(server, f"{name}-data")
    server.run("mooring", "delete-instance", "--instance-name", name, "--wait")


def by_vault(server: ServerProcess, times: Times, size: int) -> None:
    began = time.monotonic()
    server.run("mooring", "create-disk-snapshot", "--disk-name", "data",
               "--disk-snapshot-name", "saved")  # fmt: skip
    server.run("mooring", "wait", "disk-snapshot-completed", "--disk-snapshot-name", "saved")
    server.run(
        "mooring", "create-disk-from-snapshot", "--disk-name", "again", "--disk-snapshot-name",
        "saved", "--availability-zone", ZONE, "--size-in-gb", str(size),
    )  # fmt: skip
    server.available("again")
    commanded = time.monotonic()
    uri = attach(server, "again", "reader")
    attached = time.monotonic()
    read(uri)
    times.add(began, commanded, attached)
    gone(server, "again")
    server.run("mooring", "delete-disk-snapshot", "--disk-snapshot-name", "saved")


def layers(server: ServerProcess) -> int:
    told = server.ask("disks")["disks"]
    return int(next(one["layers"] for one in told if one["diskName"] == "data"))


def settle(server: ServerProcess, few: int) -> None:
    """Wait until what forks before have left is merged."""
    deadline = time.monotonic() + PATIENCE
    while layers(server) > few and time.monotonic() < deadline:
        pause(0.2)


def synced(folder: Path) -> float:
    """Seconds that it takes to make one small file durable, which a fork does again and again."""
    with (folder / "synced").open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        began = time.monotonic()
        os.fsync(file.fileno())
        return time.monotonic() - began


class Floor:
    """The least that others do: an overlay on a file, and a storage daemon that serves it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._base, self._top = folder / "base.raw", folder / "top.qcow2"
        self._sockets = Path(tempfile.mkdtemp(prefix="m-"))

    def measure(self, times: Times, size: int) -> None:
        with self._base.open("wb") as file:
            file.truncate(size * GIB)
        began = time.monotonic()
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", self._base, "-F", "raw", self._top],
            check=True,
        )
        commanded = time.monotonic()
        with PlainDaemon(self._sockets) as daemon:
            daemon.open_chain([self._base, self._top], "threads")
            attached = time.monotonic()
            read(daemon.uri)
            times.add(began, commanded, attached)
        self._top.unlink()


def read(uri: str) -> None:
    with BlockingNbdClient(uri) as client:
        client.read(0, 4096)


def attach(server: ServerProcess, name: str, instance: str) -> str:
    server.run(
        "mooring", "attach-disk", "--disk-name", name, "--instance-name", instance,
        "--disk-path", "/dev/xvdf", "--wait",
    )  # fmt: skip
    return str(server.ask("uri", diskName=name)["uri"])


def gone(server: ServerProcess, name: str) -> None:
    """Detach and delete a disk."""
    server.run("mooring", "detach-disk", "--disk-name", name, "--wait")
    server.run("mooring", "delete-disk", "--disk-name", name)


if __name__ == "__main__":
    raise SystemExit(main())
