"""Writes files, each synchronised, and logs them in a journal; run as a process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from blake3 import blake3

from mooring.model.clock import SystemClock

PAUSE = 0.01
LARGEST = 64 * 1024


def content(number: int) -> bytes:
    """What the file of that number holds: 1 byte to 64 KiB."""
    seed = blake3(number.to_bytes(8, "little"))
    length = 1 + int.from_bytes(seed.digest(length=4), "little") % LARGEST
    return seed.digest(length=length)


def name(number: int) -> str:
    """The name of the file of that number, in one of 16 folders."""
    return f"{number % 16:x}/{number}"


def write(root: Path, number: int) -> None:
    """Write a file; it is durable when this returns."""
    path = root / name(number)
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        file.write(content(number))
        file.flush()
        os.fsync(file.fileno())
    for folder in (path.parent, root):
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


def read_journal(path: Path) -> tuple[dict[int, float], dict[int, float]]:
    """When each file was begun and when it was durable, in seconds of the monotonic clock."""
    moments: dict[str, dict[int, float]] = {"begun": {}, "durable": {}}
    text = path.read_text() if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            what, number, seconds = line.split()
            moments[what][int(number)] = float(seconds)
    return moments["begun"], moments["durable"]


def is_whole(root: Path, number: int) -> bool:
    """Whether the file of that number is there, with what it must hold."""
    path = root / name(number)
    return path.exists() and path.read_bytes() == content(number)


def main() -> None:
    """Write until SIGTERM: `file_writer FOLDER JOURNAL`."""
    clock, stop = SystemClock(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    root, number = Path(sys.argv[1]), 0
    with Path(sys.argv[2]).open("a", buffering=1) as journal:
        while not stop.wait(PAUSE):
            number += 1
            journal.write(f"begun {number} {clock.monotonic()}\n")
            write(root, number)
            journal.write(f"durable {number} {clock.monotonic()}\n")


if __name__ == "__main__":
    main()
