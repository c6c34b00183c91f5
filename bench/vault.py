"""Measures the vault: first snapshot, next snapshot, restore, against zstd alone.

    .venv/bin/python -m bench.vault --size-mib 1024

The data is this machine's own system files, then random bytes, each in its own run. `zstd alone`
compresses and digests the same frames on the same number of threads and stores nothing: it is
what the first snapshot is measured against.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.vault_step import info
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.vault.format.frame import Kind, Packer
from mooring.vault.format.layout import FRAME_BYTES
from mooring.vault.format.root import SnapshotInfo
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions

CHUNK = 4 * 1024 * 1024
MIB = 1024 * 1024


class Row(NamedTuple):
    """One line of the table."""

    what: str
    seconds: float
    cpu_seconds: float
    note: str
    whole: bool
    """Whether the time is for the whole of the data, so that a rate makes sense."""


@dataclass
class Bench:
    """One run over one image."""

    image: Path
    directory: Path
    threads: int
    level: int

    @property
    def size(self) -> int:
        return self.image.stat().st_size

    def info(self, name: str) -> SnapshotInfo:
        return info(name, max(8 * GIB, self.size))

    def run(self) -> Iterator[Row]:
        store = DirectoryStore(self.directory)

        def opened() -> Vault:
            return Vault.create_or_open(
                store, SystemClock(), VaultOptions(level=self.level, threads=self.threads)
            )

        with opened() as vault:
            yield measure("zstd + digests alone", self.compress_only, whole=True)
            yield measure("first snapshot", lambda: self.first(vault), whole=True)
            yield measure(
                "compare in full, nothing changed", lambda: self.compare(vault), whole=True
            )
            yield measure("next: 1 % random 4 KiB", lambda: self.next(vault))
            yield measure("differences between the two", lambda: self.diff(vault))
            yield measure("verification of all", lambda: verify(vault), whole=True)
        # A new one has nothing in its caches.
        with opened() as vault:
            yield measure(
                "full read of the first", lambda: self.restore(vault, "first"), whole=True
            )
        with opened() as vault:
            yield measure("full read of the next", lambda: self.restore(vault, "next"), whole=True)
        with opened() as vault:
            yield measure("open, and read 4 KiB", lambda: first_byte(vault))
            for size in (8 * GIB, 1024 * GIB):
                name = f"of {size // GIB} GiB"
                with vault.begin(info(f"base-{size}", size)) as writer:
                    writer.write(0, os.urandom(64 * MIB))
                    writer.commit()
                yield measure(f"1000 blocks, disk {name}", partial(self.sparse, vault, size))
            for name in ("first", "next"):
                vault.delete(name)
            yield measure("collection of both", lambda: collect(vault))

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        with self.image.open("rb", buffering=0) as file:
            offset = 0
            while data := file.read(CHUNK):
                yield offset, data
                offset += len(data)

    def compress_only(self) -> str:
        packer = Packer(self.level)

        def pack(data: memoryview) -> int:
            return len(packer.pack(data, Kind.DATA).stored)

        stored = 0
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = []
            for _, data in self.chunks():
                view = memoryview(data)
                pieces = range(0, len(view), FRAME_BYTES)
                waiting += [pool.submit(pack, view[at : at + FRAME_BYTES]) for at in pieces]
                while len(waiting) > 32:
                    stored += waiting.pop(0).result()
            stored += sum(one.result() for one in waiting)
        return f"{stored / MIB:.0f} MiB"

    def first(self, vault: Vault) -> str:
        with vault.begin(self.info("first")) as writer:
            for offset, data in self.chunks():
                writer.write(offset, data)
            done = writer.commit().statistics
        overhead = done.stored_bytes - done.data_bytes
        return f"{done.stored_bytes / MIB:.0f} MiB, of it map and tables {overhead / 1024:.0f} KiB"

    def compare(self, vault: Vault) -> str:
        with vault.begin(self.info("same"), "first") as writer:
            for offset, data in self.chunks():
                writer.write(offset, data, compare=True)
            done = writer.commit().statistics
        vault.delete("same")
        return f"{done.stored_bytes} bytes stored"

    def next(self, vault: Vault) -> str:
        rng = random.Random(1)
        count = self.size // BLOCK_SIZE // 100
        blocks = sorted(rng.sample(range(self.size // BLOCK_SIZE), count))
        data = rng.randbytes(count * BLOCK_SIZE)
        with vault.begin(self.info("next"), "first") as writer:
            for number, block in enumerate(blocks):
                at = number * BLOCK_SIZE
                writer.write(block * BLOCK_SIZE, data[at : at + BLOCK_SIZE])
            done = writer.commit().statistics
        ratio = done.stored_bytes / (count * BLOCK_SIZE)
        return f"{done.stored_bytes / MIB:.2f} MiB, {ratio:.3f} times the changed bytes"

    def sparse(self, vault: Vault, size: int) -> str:
        rng = random.Random(2)
        with vault.begin(info(f"next-{size}", size), f"base-{size}") as writer:
            for block in sorted(rng.sample(range(8 * GIB // BLOCK_SIZE), 1000)):
                writer.write(block * BLOCK_SIZE, rng.randbytes(BLOCK_SIZE))
            done = writer.commit().statistics
        return f"{done.stored_bytes / 1000 / BLOCK_SIZE:.2f} times the changed bytes"

    def diff(self, vault: Vault) -> str:
        extents = list(vault.diff("first", "next"))
        return f"{len(extents)} ranges"

    def restore(self, vault: Vault, name: str) -> str:
        total = 0
        with vault.open(name) as reader:
            for extent in reader.extents():
                for offset in range(extent.offset, extent.end, CHUNK):
                    total += len(reader.read(offset, min(CHUNK, extent.end - offset)))
        return f"{total / MIB:.0f} MiB"


def first_byte(vault: Vault) -> str:
    with vault.open("next") as reader:
        return f"{len(reader.read(64 * MIB, BLOCK_SIZE))} bytes"


def verify(vault: Vault) -> str:
    return f"{len(vault.verify())} damages"


def collect(vault: Vault) -> str:
    done = vault.collect()
    return f"{done.segments_deleted} segments, {done.bytes_freed / MIB:.0f} MiB"


def measure(what: str, work: Callable[[], str], *, whole: bool = False) -> Row:
    began, cpu = time.perf_counter(), time.process_time()
    note = work()
    return Row(what, time.perf_counter() - began, time.process_time() - cpu, note, whole)


def make_image(path: Path, kind: str, size: int) -> None:
    """Fill a file with system files one after the other, or with random bytes."""
    with path.open("wb") as image:
        if kind == "random":
            for _ in range(0, size, MIB):
                image.write(os.urandom(MIB))
        else:
            for file in system_files():
                image.write(file.read_bytes())
                image.write(bytes(-image.tell() % BLOCK_SIZE))
                if image.tell() >= size:
                    break
        image.truncate(image.tell() // BLOCK_SIZE * BLOCK_SIZE)
        image.truncate(min(size, path.stat().st_size or size))


def system_files() -> Iterator[Path]:
    for folder in ("/usr/lib", "/usr/bin", "/usr/share"):
        for base, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = Path(base) / name
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 256 * MIB:
                    yield path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--data", choices=["mixed", "random", "both"], default="both")
    parser.add_argument("--directory", type=Path, help="where to work; default: a temporary one")
    arguments = parser.parse_args()
    kinds = ["mixed", "random"] if arguments.data == "both" else [arguments.data]
    for kind in kinds:
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            image = Path(directory) / "image"
            make_image(image, kind, arguments.size_mib * MIB)
            bench = Bench(image, Path(directory) / "vault", arguments.threads, arguments.level)
            size = bench.size / MIB
            print(f"{kind} data, {size:.0f} MiB, zstd-{bench.level}, {bench.threads} threads")
            for row in bench.run():
                rate = f"{size / row.seconds:8.0f} MiB/s" if row.whole else " " * 14
                print(
                    f"  {row.what:34} {row.seconds:8.3f} s {row.cpu_seconds:8.2f} s CPU {rate}"
                    f"  {row.note}"
                )
                sys.stdout.flush()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f"  peak memory of the whole process: {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
