"""What single requests to a disk in Ceph notice of freezes and merges."""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence

from bench.ceph_disks import BLOCK, Disk, Host
from mooring.nbd.blocking import BlockingNbdClient

_BETWEEN_REQUESTS, _BETWEEN_FREEZES = 0.0005, 0.4


def stalls(host: Host, arguments: argparse.Namespace) -> None:
    """Print how long requests took, one at a time, while a disk was frozen, and in between.

    QEMU opens the new image in the loop that serves the disk, so even reads wait for that.
    """
    heads = ("median", "held p50", "worst", "freeze p50", "worst", "merge p50", "worst")
    print(f"\n{'single requests (ms)':24}" + "".join(f"{head:>11}" for head in heads))
    for kind in ("read", "write"):
        disk = host.disk(arguments.size)
        client = BlockingNbdClient(disk.uri)
        client.write(0, bytes(BLOCK))
        ask = {
            "read": lambda client=client: client.read(0, BLOCK),
            "write": lambda client=client: client.write(0, bytes(BLOCK)),
        }[kind]
        _row(kind, disk, ask, arguments.freezes)
        client.close()
        disk.close()


def _row(kind: str, disk: Disk, ask: Callable[[], object], count: int) -> None:
    requests: list[tuple[float, float]] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(_BETWEEN_REQUESTS):
            began = time.perf_counter()
            ask()
            requests.append((began, time.perf_counter()))

    worker = threading.Thread(target=work)
    worker.start()
    held, freezes, merges = [], [], []
    for _ in range(count):
        began = time.perf_counter()
        held.append(disk.freeze())
        ended = time.perf_counter()
        disk.release()
        time.sleep(_BETWEEN_FREEZES)
        freezes.append(_longest(requests, began, ended))
        merges.append(_longest(requests, ended, time.perf_counter()))
    over.set()
    worker.join()
    found = [statistics.median(end - begin for begin, end in requests)]
    for one in (held, freezes, merges):
        found += [statistics.median(one), max(one)]
    print(f"{kind:24}" + "".join(f"{one * 1000:11.1f}" for one in found), flush=True)


def _longest(requests: Sequence[tuple[float, float]], began: float, ended: float) -> float:
    """The longest of the requests that ended in that time."""
    return max((end - begin for begin, end in list(requests) if began < end <= ended), default=0.0)
