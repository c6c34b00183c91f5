"""Loads on NBD exports, by fio."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

LOADS: dict[str, list[str]] = {
    "idle": [],
    "random": ["--rw=randwrite", "--bs=4k", "--iodepth=16"],
    "sequential": ["--rw=write", "--bs=128k", "--iodepth=8"],
    "fsync": ["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1"],
    "read": ["--rw=randread", "--bs=4k", "--iodepth=16"],
}
WARM_UP = 1.5


@dataclass
class Seen:
    """What fio saw: operations per second, and how long they took in seconds."""

    rate: float = 0.0
    p99: float = 0.0
    worst: float = 0.0


@contextmanager
def load(uri: str, options: Sequence[str], size: int) -> Iterator[Seen]:
    """Run fio against an export for as long as the block lasts; told when it is over."""
    seen = Seen()
    if not options:
        yield seen
        return
    fio = _start(uri, options, size, 3600)
    try:
        time.sleep(WARM_UP)
        yield seen
    finally:
        fio.terminate()
        output, _ = fio.communicate(timeout=60)
    _read(output, seen)


def run(uri: str, options: Sequence[str], size: int, seconds: float) -> Seen:
    """Run fio for so long, from the first request on."""
    seen = Seen()
    output, _ = _start(uri, options, size, seconds).communicate(timeout=seconds + 60)
    _read(output, seen)
    return seen


def _start(uri: str, options: Sequence[str], size: int, seconds: float) -> subprocess.Popen[str]:
    command = [
        "fio", "--name=load", "--ioengine=nbd", f"--uri={uri}", f"--size={size}",
        "--time_based", f"--runtime={round(seconds * 1000)}ms", "--random_generator=lfsr",
        "--norandommap", "--randrepeat=0", "--output-format=json", *options,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _read(output: str, seen: Seen) -> None:
    job = json.loads(output[output.index("{") :])["jobs"][0]
    kind = max(("write", "read"), key=lambda name: int(job[name]["total_ios"]))
    seen.rate = job[kind]["iops"]
    seen.p99 = job[kind]["clat_ns"]["percentile"]["99.000000"] / 1e9
    seen.worst = job[kind]["clat_ns"]["max"] / 1e9
