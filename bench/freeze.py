"""How long a freeze holds writes back, and what I/O costs after it.

    .venv/bin/python -m bench.freeze --freezes 200 --seconds 5

First the pauses: the engine under each load, freezing again and again, and in the same run a
plain storage daemon whose disk goes through the page cache and gets snapshots by
`blockdev-snapshot`. Then the rates, of 4 KiB random writes and reads at queue depth 16: before the
first freeze, right after each of some freezes whose points stay pending, while all of them merge,
and after that. Beside each, by turns, a plain storage daemon with the same options on the same
layers (the lower ones as hard links, the newest as a copy); beside the merge, the one that had
the layers before. Ratios are medians of the rounds.

    .venv/bin/python -m bench.freeze --rhythm 600

instead freezes every second, for so long, under 4 KiB random writes at full speed; each point is
released as stored when the next one is frozen. Before and after it, a plain daemon with the same
options on a base and an overlay, which is not frozen, and whose layers are not merged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import fio
from bench.plain_daemon import PlainDaemon
from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.model.clock import SystemClock
from mooring.model.errors import EngineError
from mooring.model.extents import GIB

WRITES = ("idle", "random", "sequential", "fsync")
MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int, default=4 * GIB, help="bytes of the disk")
    parser.add_argument("--loads", nargs="*", choices=WRITES, default=list(WRITES))
    parser.add_argument("--freezes", type=int, default=200)
    parser.add_argument("--plain", type=int, default=40, help="freezes of the plain daemon")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between freezes")
    parser.add_argument("--pending", type=int, default=1, help="points not released yet")
    parser.add_argument("--aio", nargs="*", default=[DaemonSettings().aio])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rate; 0 for none")
    parser.add_argument("--rounds", type=int, default=5, help="freezes between rates")
    parser.add_argument("--merge-mib", type=int, nargs="*", default=[0], help="limits of merges")
    parser.add_argument("--rhythm", type=float, default=0.0, help="seconds of a freeze each second")
    arguments = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    if arguments.rhythm:
        with_folder(arguments, partial(rhythm, arguments))
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
        return
    for name in arguments.loads:
        with_folder(arguments, partial(pauses, name, arguments))
    if arguments.seconds:
        for limit in arguments.merge_mib:
            settings = DaemonSettings(merge_bytes_per_second=limit * MIB)
            with_folder(arguments, partial(rates, arguments, settings))
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


def with_folder(arguments: argparse.Namespace, measure: Callable[[Path], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="freeze-", dir=arguments.folder))
    try:
        measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- pauses


@dataclass
class Pauses:
    """Seconds of each freeze: the pause, and the whole call; what fio saw meanwhile."""

    pauses: list[float]
    replies: list[float]
    seen: fio.Seen

    def row(self, name: str) -> str:
        pauses, replies = sorted(self.pauses), sorted(self.replies)
        values = [
            statistics.median(pauses), percentile(pauses, 99), pauses[-1],
            statistics.median(replies), percentile(replies, 99),
        ]  # fmt: skip
        figures = "".join(f"{value * 1000:10.1f}" for value in values)
        return f"{name:28}{figures}{self.seen.rate:10.0f}{self.seen.worst * 1000:10.1f}"


def percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def pauses(name: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Print the table of one load."""
    heads = ["pause p50", "p99", "worst", "reply p50", "p99", "IOPS", "I/O worst"]
    print(f"{name + ' (ms)':28}" + "".join(f"{head:>10}" for head in heads))
    for aio in arguments.aio:
        settings = DaemonSettings(aio=aio)
        measured = ours(folder / aio, fio.LOADS[name], arguments, settings)
        print(measured.row(f"  mooring, aio={aio}"), flush=True)
    if arguments.plain:
        print(plain(folder / "plain", fio.LOADS[name], arguments).row("  plain"), flush=True)


def freeze_again(
    count: int, interval: float, seen: fio.Seen, freeze: Callable[[], float]
) -> Pauses:
    """Freeze `count` times, about every `interval` seconds."""
    measured = Pauses([], [], seen)
    for _ in range(count):
        started = time.perf_counter()
        measured.pauses.append(freeze())
        measured.replies.append(time.perf_counter() - started)
        time.sleep(max(0.0, interval - (time.perf_counter() - started)))
    return measured


def ours(
    folder: Path, options: list[str], arguments: argparse.Namespace, settings: DaemonSettings
) -> Pauses:
    """The engine, with each point released as stored when the next one is frozen."""
    with Ours(folder, arguments.size, settings) as disk:
        with fio.load(disk.uri, options, arguments.size) as seen:

            def freeze() -> float:
                pause = disk.freeze()
                if len(disk.held) > arguments.pending:
                    disk.release()
                return pause

            measured = freeze_again(arguments.freezes, arguments.interval, seen, freeze)
        print(f"  {len(disk.layers())} layers at the end, {disk.waited} s waited for merges")
    return measured


class Ours:
    """An engine with one attached disk."""

    def __init__(self, folder: Path, size: int, settings: DaemonSettings) -> None:
        self._folder = folder
        self._engine = QemuEngine(folder / "data", folder / "run", SystemClock(), settings)
        self._instance, self._export = str(uuid.uuid4()), Export(str(uuid.uuid4()), "disk")
        self._engine.create(self._export.disk_id, size)
        self.held: list[str] = []
        self.waited = 0

    def __enter__(self) -> Ours:
        self._engine.attach(self._instance, self._export)
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.stop(self._instance)
        self._engine.close()

    @property
    def uri(self) -> str:
        return self._engine.uri(self._instance, self._export.name)

    def freeze(self) -> float:
        point = str(uuid.uuid4())
        while True:
            try:
                frozen = self._engine.freeze({self._export.disk_id: point})
                break
            except EngineError as error:
                if "not merged yet" not in str(error):
                    raise
                # The load is more than merges keep up with, as it tells a client.
                self.waited += 1
                time.sleep(1.0)
        self.held.append(point)
        return frozen.pause_seconds

    def release(self) -> None:
        self._engine.release(self._export.disk_id, self.held.pop(0), stored=True)

    def settle(self, seconds: float) -> bool:
        return self._engine.settle(seconds)

    def layers(self) -> Sequence[Path]:
        """The files, lowest first."""
        return sorted(
            (self._folder / "data/disks" / self._export.disk_id).iterdir(),
            key=lambda path: (path.name != "base.raw", path.name),
        )


def plain(folder: Path, options: list[str], arguments: argparse.Namespace) -> Pauses:
    """A plain storage daemon on the page cache, with overlays as qemu-img makes them."""
    folder.mkdir()
    size = arguments.size
    with (folder / "0").open("wb") as file:
        file.truncate(size)

    def overlay(number: int) -> dict[str, object]:
        command = ["qemu-img", "create", "-q", "-f", "qcow2"]
        backing = ["-b", str(number - 1), "-F", "qcow2" if number > 1 else "raw"]
        subprocess.run([*command, *backing, str(number), str(size)], cwd=folder, check=True)
        file = {"driver": "file", "filename": str(folder / str(number))}
        return {"driver": "qcow2", "node_name": f"n{number}", "backing": None, "file": file}

    with PlainDaemon(folder / "d") as daemon:
        base = {"driver": "file", "filename": str(folder / "0")}
        daemon.run("blockdev-add", driver="raw", node_name="n0", file=base)
        daemon.run("blockdev-add", **{**overlay(1), "backing": "n0"})
        daemon.serve("n1")
        number = 1

        def freeze() -> float:
            nonlocal number
            daemon.run("blockdev-add", **overlay(number + 1))
            started = time.perf_counter()
            daemon.run("blockdev-snapshot", node=f"n{number}", overlay=f"n{number + 1}")
            number += 1
            return time.perf_counter() - started

        with fio.load(daemon.uri, options, size) as seen:
            return freeze_again(
                min(arguments.freezes, arguments.plain), arguments.interval, seen, freeze
            )


# --- a rhythm


def rhythm(arguments: argparse.Namespace, folder: Path) -> None:
    """Print how a freeze each second goes, and what it leaves of the writer's rate."""
    settings = DaemonSettings(merge_bytes_per_second=arguments.merge_mib[0] * MIB)
    options = fio.LOADS["random"]
    others = [unfrozen(folder / "before", arguments, settings)]
    with Ours(folder / "ours", arguments.size, settings) as disk:
        most = 0

        def freeze() -> float:
            nonlocal most
            pause = disk.freeze()
            most = max(most, len(disk.layers()))
            if len(disk.held) > arguments.pending:
                disk.release()
            return pause

        with fio.load(disk.uri, options, arguments.size) as seen:
            measured = freeze_again(round(arguments.rhythm), 1.0, seen, freeze)
        print(f"{most} layers at most, {disk.waited} s waited for merges")
        started = time.monotonic()
        disk.release()
        if not disk.settle(600):
            raise RuntimeError("the merge does not end")
        print(f"all merged {time.monotonic() - started:.1f} s after that")
    others.append(unfrozen(folder / "after", arguments, settings))
    heads = ["pause p50", "p99", "worst", "reply p50", "p99", "IOPS", "I/O worst"]
    print(f"{'(ms)':28}" + "".join(f"{head:>10}" for head in heads))
    print(measured.row("a freeze each second"))
    plain_rate = statistics.mean(other.rate for other in others)
    rates_told = " and ".join(f"{other.rate:.0f}" for other in others)
    print(f"plain, not frozen: {rates_told} IOPS, ratio {seen.rate / plain_rate:.2f}")


def unfrozen(folder: Path, arguments: argparse.Namespace, settings: DaemonSettings) -> fio.Seen:
    """The writes of a plain daemon on layers like ours."""
    with Ours(folder, arguments.size, settings) as disk:
        files = disk.layers()
    with PlainDaemon(folder / "d") as daemon:
        daemon.open_chain(files, settings.aio)
        seen = fio.run(daemon.uri, fio.LOADS["random"], arguments.size, arguments.seconds)
    shutil.rmtree(folder)
    return seen


# --- rates


def rates(arguments: argparse.Namespace, settings: DaemonSettings, folder: Path) -> None:
    """Print the table of rates."""
    limit = settings.merge_bytes_per_second // MIB
    print(f"4 KiB random, IOPS (merge limit {limit or 'none'})    mooring     plain     ratio")
    for kind in ("random", "read"):
        one = Rates(folder / kind, kind, arguments, settings)
        with one.disk:
            one.measure()


class Rates:
    """The rates of one kind of load."""

    def __init__(
        self, folder: Path, kind: str, arguments: argparse.Namespace, settings: DaemonSettings
    ) -> None:
        self._folder, self._kind, self._arguments = folder, kind, arguments
        self._aio = settings.aio
        self.disk = Ours(folder / "ours", arguments.size, settings)

    def measure(self) -> None:
        seconds, size = self._arguments.seconds, self._arguments.size
        fill = ["--rw=write", "--bs=1M", "--iodepth=4"]
        fio.run(self.disk.uri, fill, size, seconds)
        self.disk.freeze()
        self.disk.release()
        if not self.disk.settle(600):
            raise RuntimeError("the merge does not end")
        self._row("before", [self._pair()])
        pairs = []
        for _ in range(self._arguments.rounds):
            self.disk.freeze()
            if self._kind == "read":
                # So that each layer holds something to read.
                fio.run(self.disk.uri, fio.LOADS["random"], size, seconds / 5)
            pairs.append(self._pair())
        self._row("right after freezes", pairs)
        while self.disk.held:
            self.disk.release()
        merging = [(self._rate(self.disk.uri), pairs[-1][1])]
        self._row("while merging", merging, "" if not self.disk.settle(0.001) else " (too short)")
        started = time.monotonic()
        if not self.disk.settle(1200):
            raise RuntimeError("the merge does not end")
        print(f"    the merge went on for {time.monotonic() - started:.1f} s after that")
        self._row("after the merge", [self._pair() for _ in range(3)])

    def _pair(self) -> tuple[float, float]:
        """The rate of our daemon, and that of a plain one on the same layers."""
        copy = self._folder / "copy"
        copy.mkdir()
        *lower, top = self.disk.layers()
        for path in lower:
            (copy / path.name).hardlink_to(path)
        # Before our own writes, so that both find the same.
        shutil.copyfile(top, copy / top.name)
        mine = self._rate(self.disk.uri)
        with PlainDaemon(self._folder / "d") as daemon:
            daemon.open_chain([copy / path.name for path in [*lower, top]], self._aio)
            other = self._rate(daemon.uri)
        shutil.rmtree(copy)
        return mine, other

    def _rate(self, uri: str) -> float:
        options = fio.LOADS[self._kind]
        return fio.run(uri, options, self._arguments.size, self._arguments.seconds).rate

    def _row(self, name: str, pairs: Sequence[tuple[float, float]], note: str = "") -> None:
        mine = statistics.median(pair[0] for pair in pairs)
        other = statistics.median(pair[1] for pair in pairs)
        ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
        title = f"  {self._kind}: {name}"
        print(f"{title:40}{mine:15.0f}{other:10.0f}{ratio:10.2f}{note}", flush=True)


if __name__ == "__main__":
    main()
