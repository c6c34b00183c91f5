"""Measures what zstd's levels cost and save, on system files, a database and random bytes.

    .venv/bin/python -m bench.codec --size-mib 256 --rounds 5

As root, with PostgreSQL installed. For each kind of data and each level: a first snapshot, and a
disk filled from it and made durable; medians of the rounds, in which the levels take turns. CPU
seconds mean more than seconds on a machine that is busy. `line` is how long the first snapshot
takes at least when what it stores goes through a line of 100 Mbit/s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from bench.vault import MIB, Bench, measure
from bench.vault_images import make_images
from bench.vault_step import restore_to
from mooring.model.clock import SystemClock
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions

LEVELS = [-7, -5, -3, -1, 1, 2, 3, 6, 9]
LINE_MIB = 100e6 / 8 / MIB
COLUMNS = ("first", "its CPU", "stored", "line", "restore", "its CPU", "verify", "its CPU")

Figures = tuple[float, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--levels", type=int, nargs="+", default=LEVELS)
    parser.add_argument("--data", default="", help="only those whose names begin so")
    parser.add_argument("--directory", type=Path, help="where to work; default: a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        work = Path(directory)
        for images in make_images(work, chosen.size_mib * MIB, chosen.data):
            found: defaultdict[int, list[Figures]] = defaultdict(list)
            for _ in range(chosen.rounds):
                for level in chosen.levels:
                    found[level].append(one_round(work, images.before, level))
            print(f"{images.name.partition(',')[0]}, {chosen.size_mib} MiB, {os.cpu_count()} cores")
            print("  level" + "".join(f"{column:>10}" for column in COLUMNS))
            for level in chosen.levels:
                medians = [statistics.median(column) for column in zip(*found[level], strict=True)]
                print(f"  {level:5}" + "".join(f"{median:10.3f}" for median in medians), flush=True)


def one_round(work: Path, image: Path, level: int) -> Figures:
    """Seconds, seconds of CPU, and MiB stored, in the order of the columns."""
    with tempfile.TemporaryDirectory(dir=work) as directory:
        place = Path(directory)
        threads = os.cpu_count() or 1
        bench = Bench(image, place / "vault", threads, level)

        def opened() -> Vault:
            options = VaultOptions(level=level, threads=threads)
            return Vault.create_or_open(DirectoryStore(bench.directory), SystemClock(), options)

        def restored(vault: Vault) -> str:
            restore_to(vault, "first", place / "out")
            return ""

        with opened() as vault:
            first = measure("", lambda: bench.first(vault))
            stored = vault.root("first").statistics.stored_bytes / MIB
        # A new one has nothing in its caches.
        with opened() as vault:
            back = measure("", lambda: restored(vault))
        with opened() as vault:
            verified = measure("", lambda: str(vault.verify()))
    return (
        first.seconds,
        first.cpu_seconds,
        stored,
        stored / LINE_MIB,
        back.seconds,
        back.cpu_seconds,
        verified.seconds,
        verified.cpu_seconds,
    )


if __name__ == "__main__":
    main()
