"""What the reader of a disk in a Ceph cluster notices of a freeze."""

from __future__ import annotations

import argparse
import statistics
import threading
import time

from bench.ceph_disks import BLOCK, Host
from mooring.nbd.blocking import BlockingNbdClient

_BETWEEN_READS, _BETWEEN_FREEZES, _AFTERWARDS = 0.0005, 0.3, 0.05


def stalls(host: Host, arguments: argparse.Namespace) -> None:
    """Print how long single reads of a disk took while it was frozen and nobody wrote.

    QEMU opens the new image in the loop that serves the disk, so reads wait for that, too.
    """
    disk = host.disk(arguments.size)
    client = BlockingNbdClient(disk.uri)
    client.write(0, bytes(BLOCK))
    reads: list[tuple[float, float]] = []
    over = threading.Event()

    def read() -> None:
        while not over.wait(_BETWEEN_READS):
            began = time.perf_counter()
            client.read(0, BLOCK)
            reads.append((began, time.perf_counter() - began))

    reader = threading.Thread(target=read)
    reader.start()
    freezes = []
    for _ in range(arguments.freezes):
        time.sleep(_BETWEEN_FREEZES)
        began = time.perf_counter()
        pause = disk.freeze()
        freezes.append((began, time.perf_counter(), pause))
        time.sleep(_AFTERWARDS)
        disk.release(2)
    over.set()
    reader.join()
    longest = [
        max((took for at, took in reads if began - 0.1 < at < ended), default=0.0)
        for began, ended, _ in freezes
    ]
    print(f"\n{'an idle disk (ms)':44}{'p50':>8}{'worst':>8}")
    for told, found in (
        ("a read", [took for _, took in reads]),
        ("the longest read while it is frozen", longest),
        ("writes held back", [pause for _, _, pause in freezes]),
        ("the freeze", [ended - began for began, ended, _ in freezes]),
    ):
        print(f"{told:44}{statistics.median(found) * 1000:8.1f}{max(found) * 1000:8.1f}")
    client.close()
    disk.close()
