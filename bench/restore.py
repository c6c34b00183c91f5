"""How soon a restored disk can be read, and how fast it is filled.

    .venv/bin/python -m bench.restore --sizes 8 100 1024 --data-mib 1024

For each size in GB: a disk with `--data-mib` of data (half of it compressible), spread over the
whole disk, is snapshotted; a new disk is made from the snapshot and read while it is being filled.
The first reads are of single blocks that nobody has read: the very first, with connecting, and the
median and the slowest of nine more, each in a place of its own. Beside it, in the same run,
`qemu-img convert` copies the same snapshot from its NBD export into a raw file. At the end the
smallest disk is filled again, with nobody reading it, in turns with `qemu-img convert` and with
restic and borg, which restore the same data, as a file without holes, from a repository on
the same file system. All are synchronised to it in the end. Times are seconds from the command
line's point of view: each `mooring` command that asks costs its own start.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mooring.admin.demo.server import ServerProcess, pause
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import NbdUri

MIB = 1024 * 1024
PIECE = 4 * MIB
ZONE = "us-east-2a"
READ_SECONDS = 5


@dataclass
class Row:
    """What one size took; seconds, milliseconds for latencies, MiB/s for rates."""

    size_gb: int
    available: float
    served: float
    first_read: float
    more_p50: float
    more_max: float
    latency_p50: float
    latency_p99: float
    fill_seconds: float
    fill_rate: float
    convert_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.size_gb:7}{self.available:11.3f}{self.served:9.3f}"
            f"{self.first_read * 1000:12.1f}{self.more_p50 * 1000:8.1f}{self.more_max * 1000:8.1f}"
            f"{self.latency_p50:9.2f}{self.latency_p99:9.2f}"
            f"{self.fill_seconds:9.1f}{self.fill_rate:9.0f}{self.convert_seconds:11.1f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 100, 1024])
    parser.add_argument("--data-mib", type=int, default=1024)
    parser.add_argument("--fill-mib", type=int, default=0, help="per second; 0 for no limit")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="m-"))
    config = folder / "bench.toml"
    config.write_text(f"[engine]\nfill_mib_per_second = {options.fill_mib}\n")
    serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    server = ServerProcess(folder, [*serve, "--config", str(config)])
    try:
        server.start()
        server.run(
            "mooring", "create-instances", "--instance-names", "host", "--availability-zone", ZONE,
            "--blueprint-id", "external", "--bundle-id", "external",
        )  # fmt: skip
        print(
            "size GB  available   served  first ms  p50 ms  max ms   p50 ms   p99 ms   fill s"
            "   MiB/s  convert s",
            flush=True,
        )
        for size in options.sizes:
            print(measure(server, folder, size, options.data_mib), flush=True)
        compare(server, folder, min(options.sizes), options.data_mib, options.rounds)
        return 0
    finally:
        server.run("mooring", "stop-instance", "--instance-name", "host")
        pause(2)
        server.stop()
        shutil.rmtree(folder)


def measure(server: ServerProcess, folder: Path, size: int, data_mib: int) -> Row:
    origin, copy, saved = f"origin-{size}", f"copy-{size}", f"saved-{size}"
    place = ["--availability-zone", ZONE, "--size-in-gb", str(size)]
    server.run("mooring", "create-disk", "--disk-name", origin, *place)
    server.available(origin)
    uri = attach(server, origin, "/dev/xvdf")
    spots = write(uri, size, data_mib)
    server.run(
        "mooring", "create-disk-snapshot", "--disk-name", origin, "--disk-snapshot-name", saved
    )
    server.run("mooring", "wait", "disk-snapshot-completed", "--disk-snapshot-name", saved)

    began = time.monotonic()
    server.run(
        "mooring", "create-disk-from-snapshot", "--disk-name", copy,
        "--disk-snapshot-name", saved, *place,
    )  # fmt: skip
    server.available(copy)
    available = time.monotonic() - began
    uri = attach(server, copy, "/dev/xvdg")
    served = time.monotonic() - began
    asked = time.monotonic()
    with BlockingNbdClient(uri) as client:
        client.read(spots[-1], 4096)
        first_read = time.monotonic() - asked
        more = []
        for spot in spots[len(spots) // 2 : -1 : max(1, len(spots) // 20)][:9]:
            asked = time.monotonic()
            client.read(spot + PIECE - 4096, 4096)
            more.append(time.monotonic() - asked)
    # Only now: a thread that asks again and again would keep the reads above waiting.
    filled: list[float] = []
    watch = threading.Thread(target=lambda: filled.append(until_filled(server, copy) - began))
    watch.start()
    p50, p99 = read_at_random(uri, size)
    watch.join()
    converted = convert(server, folder, saved)
    for name in (origin, copy):
        detach_and_delete(server, name)
    return Row(
        size,
        available,
        served,
        first_read,
        statistics.median(more),
        max(more),
        p50,
        p99,
        filled[0],
        data_mib / filled[0],
        converted,
    )


def write(uri: str, size: int, data_mib: int) -> list[int]:
    """Write the data, and return where it is."""
    spots = data_spots(size, data_mib)
    with BlockingNbdClient(uri) as client:
        for spot in spots:
            client.write(spot, os.urandom(PIECE // 2) + os.urandom(1024) * (PIECE // 2048))
        client.flush()
    return spots


def data_spots(size: int, data_mib: int) -> list[int]:
    """Where the pieces of data begin, spread over the whole disk."""
    count = data_mib * MIB // PIECE
    step = size * 1024 * MIB // count // PIECE * PIECE
    return [number * step for number in range(count)]


def read_at_random(uri: str, size: int) -> tuple[float, float]:
    """Milliseconds of 4 KiB reads, one after the other: the median and the 99th percentile."""
    done = subprocess.run(
        [
            "fio", "--name=reads", "--ioengine=nbd", f"--uri={uri}", "--rw=randread", "--bs=4k",
            "--iodepth=1", "--time_based", f"--runtime={READ_SECONDS}", "--norandommap",
            f"--size={size}g", "--random_generator=tausworthe64", "--output-format=json",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = done.stdout
    latency = json.loads(text[text.index("{") :])["jobs"][0]["read"]["clat_ns"]["percentile"]
    return latency["50.000000"] / 1e6, latency["99.000000"] / 1e6


def until_filled(server: ServerProcess, disk: str) -> float:
    while not server.ask("disk", diskName=disk)["filled"]:
        pause(0.05)
    return time.monotonic()


def convert(server: ServerProcess, folder: Path, snapshot: str) -> float:
    """Seconds that `qemu-img convert` takes for the snapshot."""
    snapshot_id = server.ask("snapshot", diskSnapshotName=snapshot)["id"]
    socket = next(folder.glob("run/snapshots-*/nbd.sock"))
    target = folder / "converted.raw"
    began = time.monotonic()
    source = str(NbdUri(snapshot_id, socket=str(socket)))
    command = ["qemu-img", "convert", "-f", "raw", "-O", "raw", "-T", "none", source, str(target)]
    subprocess.run(command, check=True)
    with target.open("rb") as file:
        os.fdatasync(file.fileno())
    seconds = time.monotonic() - began
    target.unlink()
    return seconds


def compare(server: ServerProcess, folder: Path, size: int, data_mib: int, rounds: int) -> None:
    """Print what filling a disk takes when nobody uses it, and what others take, in turns."""
    work = folder / "others"
    work.mkdir()
    runs: dict[str, Callable[[], float]] = {"filling": lambda: fill_alone(server, size)}
    runs |= others(server, work, size, data_mib)
    runs["convert"] = lambda: convert(server, folder, f"saved-{size}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    shutil.rmtree(work)
    for name, took in seconds.items():
        told = " ".join(f"{one:.2f}" for one in took)
        rate = data_mib / statistics.median(took)
        print(f"{name:>8}: {rate:6.0f} MiB/s, seconds {told}", flush=True)


def fill_alone(server: ServerProcess, size: int) -> float:
    """Seconds from the command that makes a disk until it is filled, durably."""
    began = time.monotonic()
    server.run(
        "mooring", "create-disk-from-snapshot", "--disk-name", "alone", "--disk-snapshot-name",
        f"saved-{size}", "--availability-zone", ZONE, "--size-in-gb", str(size),
    )  # fmt: skip
    seconds = until_filled(server, "alone") - began
    server.run("mooring", "delete-disk", "--disk-name", "alone")
    return seconds


def others(
    server: ServerProcess, work: Path, size: int, data_mib: int
) -> dict[str, Callable[[], float]]:
    """Put the same data into the repositories of others; return what restores it."""
    image = work / "data"
    uri = server.run("mooring", "export", "--disk-snapshot-name", f"saved-{size}").output.strip()
    with BlockingNbdClient(uri) as client, image.open("wb") as file:
        for spot in data_spots(size, data_mib):
            file.write(client.read(spot, PIECE))
    environment = {
        **os.environ, "RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(work / "restic"),
        "RESTIC_CACHE_DIR": str(work / "cache"), "BORG_REPO": str(work / "borg"),
        "BORG_BASE_DIR": str(work / "base"), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }  # fmt: skip
    how = ["-C", "zstd,1", "--chunker-params", "fixed,524288,0"]
    plans = {
        "restic": (
            [["restic", "-q", "init"], ["restic", "-q", "backup", "data"]],
            ["restic", "-q", "restore", "latest", "--target", "."],
        ),
        "borg": (
            [["borg", "init", "-e", "none"], ["borg", "create", *how, "::a", "data"]],
            ["borg", "extract", "::a"],
        ),
    }
    found: dict[str, Callable[[], float]] = {}
    for name, (prepare, command) in plans.items():
        if shutil.which(name) is None:
            print(f"{name} is not installed: apt-get install {name}", flush=True)
            continue
        for one in prepare:
            subprocess.run(one, cwd=work, env=environment, check=True)
        found[name] = partial(restored, command, work / f"out-{name}", environment)
    image.unlink()
    return found


def restored(command: list[str], out: Path, environment: dict[str, str]) -> float:
    """Seconds that a command takes to restore the data, until they are durable."""
    out.mkdir()
    began = time.monotonic()
    subprocess.run(command, cwd=out, env=environment, check=True)
    with (out / "data").open("rb") as file:
        os.fdatasync(file.fileno())
    seconds = time.monotonic() - began
    shutil.rmtree(out)
    return seconds


def attach(server: ServerProcess, disk: str, path: str) -> str:
    server.run(
        "mooring", "attach-disk", "--disk-name", disk, "--instance-name", "host",
        "--disk-path", path,
    )  # fmt: skip
    return server.attached(disk)


def detach_and_delete(server: ServerProcess, disk: str) -> None:
    server.run("mooring", "detach-disk", "--disk-name", disk)
    server.available(disk)
    server.run("mooring", "delete-disk", "--disk-name", disk)


if __name__ == "__main__":
    raise SystemExit(main())
