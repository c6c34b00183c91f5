"""Disks in a Ceph cluster beside RBD's own snapshots, and beside plain RBD.

    CI=1 ./scripts/setup
    .venv/bin/python -m bench.ceph --folder /var/tmp

A monitor and an OSD on a file in `--folder`. For each interval at which the monitors agree on
changes (`--paxos`, seconds; Ceph's default is 1): how long writes are held back by our freezes,
and by `blockdev-snapshot-internal-sync`, which takes a snapshot of the image, in a daemon that
serves it as it is; 4 KiB random writes at queue depth 16, also at 800 a second. What somebody
notices who only reads the disk while it is frozen. Then operations per second beside fio on an
image through librbd, and through a plain storage daemon: before, right after freezes, while all of
them merge, and after. Then the first byte of a disk made from a snapshot and of a fork, and a
take-over: a host whose processes stand still is fenced, its disk attached on another, read and
written. With `--kills` a daemon is killed so often in mid-merge under
a writer whose blocks are all compared afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import fio
from bench.ceph_cluster import POOL, Cluster
from bench.ceph_disks import BLOCK, MIB, Disk, Host
from bench.ceph_losses import kills, take_over
from bench.ceph_stalls import stalls
from bench.plain_daemon import PlainDaemon
from mooring.engine.interface import Export
from mooring.nbd.blocking import BlockingNbdClient

PARTS = ["pauses", "stalls", "rates", "forks", "take-over"]
PACED = [*fio.LOADS["random"], "--rate_iops=800"]


@contextlib.contextmanager
def plain_image(cluster: Cluster, folder: Path, size: int) -> Iterator[tuple[PlainDaemon, str]]:
    """A storage daemon that serves an image as it is, and the image."""
    name = cluster.image(size)
    with PlainDaemon(folder / name[:8]) as daemon:
        daemon.run(
            "blockdev-add", driver="rbd", node_name="n", pool=POOL, image=name, discard="unmap",
            conf=str(cluster.folder / "admin.conf"), cache={"direct": True},
        )  # fmt: skip
        daemon.serve("n")
        yield daemon, name
    cluster.admin("rbd", "rm", "--no-progress", f"{POOL}/{name}")


# --- pauses


def pauses(cluster: Cluster, host: Host, folder: Path, arguments: argparse.Namespace) -> None:
    """Print how long writes are held back."""
    print(f"{'held back (ms)':44}{'p50':>8}{'p99':>8}{'worst':>8}{'IOPS':>8}{'worst I/O':>11}")
    for interval in arguments.paxos:
        cluster.admin("ceph", "tell", "mon.x", "config", "set", "paxos_propose_interval", interval)
        for told, options in (("full speed", fio.LOADS["random"]), ("800/s", PACED)):
            disk = host.disk(arguments.size)

            def ours(disk: Disk = disk) -> float:
                pause = disk.freeze()
                disk.release(2)
                return pause

            _row(f"ours, {told}, paxos {interval} s", disk.uri, options, ours, arguments)
            disk.close()
            with plain_image(cluster, folder, arguments.size) as (daemon, _):
                _row(
                    f"RBD snapshots, {told}, paxos {interval} s",
                    daemon.uri, options, lambda: snapshot(daemon), arguments,
                )  # fmt: skip
                for number in range(snapshots):
                    daemon.run(
                        "blockdev-snapshot-delete-internal-sync", device="n", name=f"s{number}"
                    )
            _forget_snapshots()


snapshots = 0


def snapshot(daemon: PlainDaemon) -> float:
    """Take a snapshot of the image; the seconds it took."""
    global snapshots
    began = time.perf_counter()
    daemon.run("blockdev-snapshot-internal-sync", device="n", name=f"s{snapshots}")
    snapshots += 1
    return time.perf_counter() - began


def _forget_snapshots() -> None:
    global snapshots
    snapshots = 0


def _row(
    told: str,
    uri: str,
    options: list[str],
    freeze: Callable[[], float],
    arguments: argparse.Namespace,
) -> None:
    found: list[float] = []
    with fio.load(uri, options, arguments.size) as seen:
        for _ in range(arguments.freezes):
            time.sleep(0.25)
            found.append(freeze() * 1000)
    found.sort()
    p99 = found[min(len(found) - 1, int(len(found) * 0.99))]
    print(
        f"{told:44}{statistics.median(found):8.1f}{p99:8.1f}{found[-1]:8.1f}"
        f"{seen.rate:8.0f}{seen.worst * 1000:11.0f}",
        flush=True,
    )


# --- rates


def rates(cluster: Cluster, host: Host, folder: Path, arguments: argparse.Namespace) -> None:
    """Print operations per second."""
    print(
        f"\n{'4 KiB random, depth 16, IOPS':32}{'ours':>9}{'librbd':>9}{'daemon':>9}{'ratios':>14}"
    )
    seconds, size = arguments.seconds, arguments.size
    for kind in ("random", "read"):
        disk = host.disk(size)
        fill = ["--rw=write", "--bs=1M", "--iodepth=4", f"--io_size={size}"]
        with plain_image(cluster, folder, size) as (daemon, name):
            for uri in (disk.uri, daemon.uri):
                fio.run(uri, fill, size, arguments.fill)
            disk.freeze()
            disk.release()
            host.engine.settle(600)

            def row(told: str, kind: str = kind, disk: Disk = disk, image: str = name) -> None:
                ours = fio.run(disk.uri, fio.LOADS[kind], size, seconds).rate
                rbd = librbd(cluster, image, fio.LOADS[kind], size, seconds)
                plain = fio.run(daemon.uri, fio.LOADS[kind], size, seconds).rate
                print(
                    f"{kind + ': ' + told:32}{ours:9.0f}{rbd:9.0f}{plain:9.0f}"
                    f"{ours / rbd:7.2f}{ours / plain:7.2f}",
                    flush=True,
                )

            row("before")
            for _ in range(arguments.rounds):
                disk.freeze()
                row("right after a freeze")
            disk.release()
            row("while they merge")
            host.engine.settle(600)
            row("after the merge")
        disk.close()


def librbd(cluster: Cluster, image: str, options: list[str], size: int, seconds: float) -> float:
    """What fio does on an image without any daemon."""
    done = subprocess.run(
        [
            "fio", "--name=load", "--ioengine=rbd", f"--pool={POOL}", f"--rbdname={image}",
            "--clientname=admin", f"--size={size}", "--time_based", f"--runtime={seconds:.0f}",
            "--randrepeat=0", "--norandommap", "--output-format=json", *options,
        ],
        env={**os.environ, "CEPH_CONF": str(cluster.folder / "admin.conf")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return float(max(job["read"]["iops"], job["write"]["iops"]))


# --- first bytes


def first_bytes(host: Host, arguments: argparse.Namespace) -> None:
    """Print how soon a fork can be read."""
    disk = host.disk(arguments.size)
    client = BlockingNbdClient(disk.uri)
    client.write(0, random.Random(1).randbytes(16 * MIB))
    found = []
    for _ in range(arguments.rounds * 3):
        began = time.perf_counter()
        disk.freeze()
        fork = Export(str(uuid.uuid4()), "fork")
        host.engine.fork(disk.export.disk_id, disk.held[-1], fork.disk_id)
        made = host.attach(fork)
        BlockingNbdClient(made.uri).read(0, BLOCK)
        found.append(time.perf_counter() - began)
        host.engine.detach(made.instance, fork.disk_id, force=True)
    print(f"\nfork, attached and read: median {statistics.median(found):.3f} s, "
          f"worst {max(found):.3f} s")  # fmt: skip
    client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int, default=1024 * MIB)
    parser.add_argument("--freezes", type=int, default=60)
    parser.add_argument("--paxos", nargs="*", default=["0.05", "1.0"])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--fill", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="*", default=PARTS)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        cluster = Cluster(folder / "c")
        try:
            host = Host(cluster, folder / "host")
            if arguments.kills:
                kills(host, arguments)
            else:
                parts: dict[str, Callable[[], None]] = {
                    "pauses": lambda: pauses(cluster, host, folder, arguments),
                    "stalls": lambda: stalls(host, arguments),
                    "rates": lambda: rates(cluster, host, folder, arguments),
                    "forks": lambda: first_bytes(host, arguments),
                    "take-over": lambda: take_over(cluster, folder, arguments),
                }
                for part in arguments.parts:
                    parts[part]()
            for instance in host.engine._registry.instances():
                host.engine.stop(instance.instance_id)
            host.engine.close()
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
