"""How long a freeze holds writes back, and what I/O costs after it.

Runs the engine under load, freezing again and again, and in the same run a plain storage
daemon whose disk goes through the page cache and gets snapshots by `blockdev-snapshot`.

    python bench/freeze.py --freezes 200 --loads idle random sequential fsync
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.qmp import Monitor
from mooring.model.clock import SystemClock
from mooring.model.extents import GIB

LOADS = {
    "idle": [],
    "random": ["--rw=randwrite", "--bs=4k", "--iodepth=16"],
    "sequential": ["--rw=write", "--bs=128k", "--iodepth=8"],
    "fsync": ["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1"],
}


@dataclass
class Measured:
    """Seconds of each freeze, and what fio saw; rates are operations per second."""

    pauses: list[float]
    replies: list[float]
    rate: float = 0.0
    worst: float = 0.0

    def row(self, name: str) -> str:
        pauses, replies = sorted(self.pauses), sorted(self.replies)
        values = [
            statistics.median(pauses), percentile(pauses, 99), pauses[-1],
            statistics.median(replies), percentile(replies, 99),
        ]  # fmt: skip
        figures = "".join(f"{value * 1000:10.1f}" for value in values)
        return f"{name:28}{figures}{self.rate:10.0f}{self.worst * 1000:10.1f}"


def percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@contextmanager
def load(uri: str, options: list[str], size: int, result: Measured) -> Iterator[None]:
    """Run fio against an export for as long as the block lasts."""
    if not options:
        yield
        return
    command = [
        "fio", "--name=load", "--ioengine=nbd", f"--uri={uri}", f"--size={size}",
        "--time_based", "--runtime=3600", "--random_generator=lfsr", "--norandommap",
        "--randrepeat=0", "--output-format=json", *options,
    ]  # fmt: skip
    fio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        time.sleep(1.5)
        yield
    finally:
        fio.terminate()
        output, _ = fio.communicate(timeout=60)
    write = json.loads(output[output.index("{") :])["jobs"][0]["write"]
    result.rate = write["iops"]
    result.worst = write["clat_ns"]["max"] / 1e9


def rounds(count: int, interval: float, freeze: Callable[[], float]) -> Measured:
    """Freeze `count` times, about every `interval` seconds."""
    measured = Measured([], [])
    for _ in range(count):
        started = time.perf_counter()
        measured.pauses.append(freeze())
        measured.replies.append(time.perf_counter() - started)
        time.sleep(max(0.0, interval - (time.perf_counter() - started)))
    return measured


def ours(
    folder: Path, options: list[str], arguments: argparse.Namespace, settings: DaemonSettings
) -> Measured:
    """The engine, with each point released as stored when the next one is frozen."""
    engine = QemuEngine(folder / "data", folder / "run", SystemClock(), settings)
    instance, export = str(uuid.uuid4()), Export(str(uuid.uuid4()), "disk")
    size = arguments.size
    engine.create(export.disk_id, size)
    engine.attach(instance, export)
    held: list[str] = []

    def freeze() -> float:
        point = str(uuid.uuid4())
        frozen = engine.freeze({export.disk_id: point})
        held.append(point)
        if len(held) > arguments.pending:
            engine.release(export.disk_id, held.pop(0), stored=True)
        return frozen.pause_seconds

    fio = Measured([], [])
    try:
        with load(engine.uri(instance, export.name), options, size, fio):
            measured = rounds(arguments.freezes, arguments.interval, freeze)
        measured.rate, measured.worst = fio.rate, fio.worst
        health = engine.health(export.disk_id)
        print(f"  {health.layers} layers at the end {health.problem}")
    finally:
        engine.stop(instance)
        engine.close()
    return measured


def plain(folder: Path, options: list[str], arguments: argparse.Namespace) -> Measured:
    """A plain storage daemon on the page cache, with overlays as qemu-img makes them."""
    folder.mkdir()
    qmp, nbd = folder / "qmp", folder / "nbd"
    size = arguments.size
    with (folder / "0").open("wb") as file:
        file.truncate(size)

    def overlay(number: int) -> dict[str, object]:
        command = ["qemu-img", "create", "-q", "-f", "qcow2"]
        backing = ["-b", str(number - 1), "-F", "qcow2" if number > 1 else "raw"]
        subprocess.run([*command, *backing, str(number), str(size)], cwd=folder, check=True)
        return {
            "driver": "qcow2",
            "node-name": f"n{number}",
            "backing": None,
            "file": {"driver": "file", "filename": str(folder / str(number))},
        }

    command = [
        "qemu-storage-daemon", "--chardev", f"socket,id=m,path={qmp},server=on,wait=off",
        "--monitor", "m", "--nbd-server", f"addr.type=unix,addr.path={nbd},max-connections=0",
    ]  # fmt: skip
    with ExitStack() as cleanup:
        daemon = subprocess.Popen(command)
        cleanup.callback(daemon.wait)
        cleanup.callback(daemon.terminate)
        while not nbd.exists():
            time.sleep(0.01)
        monitor = Monitor(qmp, SystemClock(), 10.0)
        cleanup.callback(monitor.close)

        def run_command(command: str, **options: object) -> None:
            named = {key.replace("_", "-"): value for key, value in options.items()}
            monitor.execute(command, named, timeout=60.0)

        run_command("blockdev-add", driver="raw", node_name="n0",
                file={"driver": "file", "filename": str(folder / "0")})  # fmt: skip
        run_command("blockdev-add", **{**overlay(1), "backing": "n0"})
        run_command(
            "block-export-add", type="nbd", id="x", node_name="n1", name="disk", writable=True
        )
        number = 1

        def freeze() -> float:
            nonlocal number
            run_command("blockdev-add", **overlay(number + 1))
            started = time.perf_counter()
            run_command("blockdev-snapshot", node=f"n{number}", overlay=f"n{number + 1}")
            number += 1
            return time.perf_counter() - started

        fio = Measured([], [])
        with load(f"nbd+unix:///disk?socket={nbd}", options, size, fio):
            measured = rounds(min(arguments.freezes, arguments.plain), arguments.interval, freeze)
        measured.rate, measured.worst = fio.rate, fio.worst
        return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int, default=4 * GIB, help="bytes of the disk")
    parser.add_argument("--loads", nargs="+", choices=list(LOADS), default=list(LOADS))
    parser.add_argument("--freezes", type=int, default=200)
    parser.add_argument("--plain", type=int, default=40, help="freezes of the plain daemon")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between freezes")
    parser.add_argument("--pending", type=int, default=1, help="points not released yet")
    parser.add_argument("--aio", nargs="*", default=[DaemonSettings().aio])
    arguments = parser.parse_args()
    heads = ["pause p50", "p99", "worst", "reply p50", "p99", "IOPS", "I/O worst"]
    for name in arguments.loads:
        folder = Path(tempfile.mkdtemp(prefix="freeze-", dir=arguments.folder))
        try:
            print(f"{name + ' (ms)':28}" + "".join(f"{head:>10}" for head in heads))
            for aio in arguments.aio:
                settings = DaemonSettings(aio=aio)
                measured = ours(folder / aio, LOADS[name], arguments, settings)
                print(measured.row(f"  mooring, aio={aio}"), flush=True)
            if arguments.plain:
                print(plain(folder / "plain", LOADS[name], arguments).row("  plain"), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
