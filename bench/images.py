"""How fast raw image files are written: disks filled, files exported, exports copied.

    .venv/bin/python -m bench.images --data-mib 1024 --rounds 5

A snapshot with so much data, half of it compressible, and 4000 scattered blocks more, lies in a
vault in a directory. `fill` is what fills the base of a restored disk, `write` what ExportSnapshot
does, `copy` what `mooring export --output` does, from a server in a process of its own; the last
two compare the file in the end. Each is printed with its seconds, all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

from bench.vault_step import info, restore_to
from mooring.admin.vaults.export import OneSnapshot
from mooring.images.export_image import ExportImage
from mooring.images.image_file import ImagePart
from mooring.images.raw_copy import copy
from mooring.images.raw_file import write_raw
from mooring.model.clock import SystemClock
from mooring.nbd.server import NbdServer
from mooring.nbd.uri import NbdUri
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions

MIB = 1024 * 1024
SPREAD = 16 * MIB
SCATTERED = 4000
NAME = "saved"


def opened(folder: Path) -> Vault:
    options = VaultOptions(threads=os.cpu_count() or 1)
    return Vault.create_or_open(DirectoryStore(folder), SystemClock(), options)


def make(folder: Path, data_mib: int) -> None:
    pieces = max(1, data_mib // 4)
    with opened(folder) as vault, vault.begin(info(NAME, pieces * SPREAD)) as writer:
        for number in range(pieces):
            data = os.urandom(2 * MIB) + os.urandom(1024) * 2048
            writer.write(number * SPREAD, data, compare=False)
        for number in range(SCATTERED):
            row, place = divmod(number, pieces)
            at = place * SPREAD + 6 * MIB + row * 65536 % (8 * MIB)
            writer.write(at, os.urandom(4096), compare=False)
        writer.commit()


def serve(folder: Path, socket: Path, ready: Event) -> None:
    async def scenario() -> None:
        with opened(folder) as vault, ThreadPoolExecutor(8) as executor:
            server = NbdServer(OneSnapshot(vault, NAME, executor))
            await server.listen_unix(socket)
            ready.set()
            await asyncio.Event().wait()

    asyncio.run(scenario())


def write(folder: Path, out: Path) -> None:
    with opened(folder) as vault, vault.open(NAME) as reader:
        write_raw(reader, out, lambda done: None)


def fill(folder: Path, out: Path) -> None:
    with opened(folder) as vault:
        restore_to(vault, NAME, out)


def copied(socket: Path, out: Path) -> None:
    uri = str(NbdUri(NAME, socket=str(socket)))
    with ImagePart(out) as part, closing(ExportImage(uri)) as image:
        copy(image, part, {})
        part.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m-") as work:
        folder, socket, out = (Path(work, name) for name in ("vault", "nbd", "out"))
        make(folder, chosen.data_mib)
        spawning = multiprocessing.get_context("spawn")
        ready = spawning.Event()
        server = spawning.Process(target=serve, args=(folder, socket, ready))
        server.start()
        ready.wait()
        runs: dict[str, Callable[[], None]] = {
            "fill": partial(fill, folder, out),
            "write": partial(write, folder, out),
            "copy": partial(copied, socket, out),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        try:
            for _ in range(chosen.rounds):
                for name, run in runs.items():
                    began = time.perf_counter()
                    run()
                    seconds[name].append(time.perf_counter() - began)
                    out.unlink()
        finally:
            server.terminate()
            server.join()
        for name, took in seconds.items():
            print(f"{name:>6}: {' '.join(f'{one:.2f}' for one in took)} s")


if __name__ == "__main__":
    main()
