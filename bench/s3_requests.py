"""Measures what many snapshots cost in a bucket that is far away.

    .venv/bin/python -m bench.s3_requests --snapshots 10000 --latency-ms 30

Counts the PUTs of snapshots at a service on this machine: of new content, and of content that
other disks have. Then it fills a vault in memory with the snapshots of some disks of 8 GiB, each
with a few blocks changed, and deletes some of them. Then each request takes so long, and these are
measured: a collection by a process that knows nothing yet, two more by the same process, and what
recovery reads. It prints seconds, requests by kind, how many were under way at once, and how long
the requests would take one after the other. The latency is simulated in front of the store: the
time that an S3 client itself takes for each request is not in it.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Callable

from bench.vault_step import info
from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.vault.format.layout import FRAME_BYTES, PAGE_BLOCKS, SEGMENT_BYTES
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.disks import MIB
from tests.vault.disks import store as store_snapshot
from tests.vault.requests import RequestStore
from tests.vault.store.between import between
from tests.vault.store.buckets import service

SIZE = 8 * GIB
PAGES = SIZE // BLOCK_SIZE // PAGE_BLOCKS
OPTIONS = VaultOptions(index_bytes=0)


def main() -> None:
    """Fill, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--snapshots", type=int, default=10_000)
    parser.add_argument("--disks", type=int, default=20)
    parser.add_argument("--delete", type=int, default=500)
    parser.add_argument("--latency-ms", type=float, default=30.0)
    parser.add_argument("--store-mib", type=int, default=256)
    parser.add_argument("--shared-disks", type=int, default=200)
    arguments = parser.parse_args()
    count_puts(arguments.store_mib, arguments.shared_disks)
    bucket, clock = MemoryStore(can_punch=False), ManualClock()
    began = time.monotonic()
    fill(bucket, clock, arguments.snapshots, arguments.disks)
    print(f"filled with {arguments.snapshots} snapshots in {time.monotonic() - began:.0f} s")
    with Vault.create_or_open(bucket, clock, OPTIONS) as vault:
        for number in range(arguments.delete):
            vault.delete(f"s{number}")
    clock.advance(3600)
    seconds = arguments.latency_ms / 1000
    far = RequestStore(bucket, lambda *_: time.sleep(seconds))
    with Vault.create_or_open(far, clock, OPTIONS) as vault:
        measure("collection", far, seconds, vault.collect)
        measure("the next one", far, seconds, vault.collect)
        for number in range(arguments.delete, arguments.delete + 10):
            bucket.delete(f"roots/s{number}")
        measure("after 10 more are gone", far, seconds, vault.collect)
    with Vault.create_or_open(far, clock, OPTIONS) as vault:
        measure("recovery's roots", far, seconds, vault.readable_roots)


def count_puts(size_mib: int, disks: int) -> None:
    """Count the PUTs of snapshots where a service sees them, moto's in this case."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    rng = random.Random(3)
    frames = [rng.randbytes(FRAME_BYTES) for _ in range(disks)]
    new = b"".join(rng.randbytes(MIB) for _ in range(size_mib))
    with (
        service() as running,
        between(running, ()) as (server, store),
        Vault.create_or_open(store, ManualClock()) as vault,
    ):
        for number, frame in enumerate(frames):
            store_snapshot(vault, f"d{number}", {0: frame})
        for what, data in (
            ("all new", new),
            (f"all that {disks} other disks have", b"".join(frames)),
            ("half of each", b"".join(frames + [rng.randbytes(FRAME_BYTES) for _ in frames])),
        ):
            server.seen.clear()
            name = what.replace(" ", "-")
            done = store_snapshot(vault, name, {0: data}).statistics
            puts = [path for method, path in server.seen if method == "PUT"]
            print(
                f"{what}: {len(data) / MIB:.0f} MiB, {done.shared_bytes / MIB:.0f} of them shared, "
                f"{done.stored_bytes / MIB:.1f} stored, {len(puts)} PUTs "
                f"(goal {done.stored_bytes / SEGMENT_BYTES + 5:.1f}), {len(server.seen)} requests"
            )


def fill(bucket: MemoryStore, clock: ManualClock, snapshots: int, disks: int) -> None:
    """Each disk has a block in each page at first; then two blocks change in each snapshot."""
    rng = random.Random(1)
    with Vault.create_or_open(bucket, clock, OPTIONS) as vault:
        for number in range(snapshots):
            parent = f"s{number - disks}" if number >= disks else None
            pages = range(PAGES) if parent is None else sorted(rng.sample(range(PAGES), 2))
            with vault.begin(info(f"s{number}", SIZE), parent) as writer:
                for page in pages:
                    block = page * PAGE_BLOCKS + rng.randrange(PAGE_BLOCKS)
                    writer.write(block * BLOCK_SIZE, rng.randbytes(BLOCK_SIZE))
                writer.commit()


def measure(what: str, far: RequestStore, latency: float, work: Callable[[], object]) -> None:
    """Print what it takes."""
    with far.counting():
        began, cpu = time.monotonic(), time.process_time()
        work()
        took, used = time.monotonic() - began, time.process_time() - cpu
    total = far.counts.total()
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(far.counts.items()))
    print(
        f"{what}: {took:.1f} s ({used:.1f} s of CPU), {total} requests ({kinds}), up to "
        f"{far.most_at_once} at once; one after the other {total * latency:.0f} s"
    )


if __name__ == "__main__":
    main()
