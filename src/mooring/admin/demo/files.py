"""The demonstration's chapter on a file system in use."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mooring.admin.demo import file_writer
from mooring.admin.demo.filesystem import device_of, mounted, run
from mooring.admin.demo.server import DemoError, pause


@dataclass(frozen=True, slots=True)
class FilesFound:
    """What a restored file system holds; `missing` files are damaged or not there."""

    whole: int
    missing: int
    too_new: int
    clean: bool

    @property
    def ok(self) -> bool:
        return self.whole > 0 and not self.missing and not self.too_new and self.clean


@contextlib.contextmanager
def files_being_written(uri: str, folder: Path) -> Iterator[Path]:
    """Make ext4 on a disk, mount it, and let a process write files, each followed by fsync.

    Yields the journal of that process. Raises DemoError if it saw an error.
    """
    journal = folder / "files"
    with device_of(uri, folder / "live") as device:
        run("mkfs.ext4", "-q", "-E", "nodiscard", device, "1G")
        with mounted(device, folder / "mount") as root:
            command = [sys.executable, "-m", file_writer.__name__, str(root), str(journal)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            try:
                while len(file_writer.read_journal(journal)[1]) < 100 and process.poll() is None:
                    pause(0.1)
                yield journal
            finally:
                process.terminate()
                process.wait()
            if process.returncode:
                raise DemoError("the writer of files had an error")


def check_files(
    uri: str, folder: Path, journal: Path, requested: float, replied: float
) -> FilesFound:
    """Mount a restored disk, which replays its journal, and look at its files."""
    begun, durable = file_writer.read_journal(journal)
    before = [number for number, moment in durable.items() if moment < requested]
    after = [number for number, moment in begun.items() if moment > replied]
    with device_of(uri, folder / "restored") as device:
        with mounted(device, folder / "restored-mount") as root:
            whole = sum(file_writer.is_whole(root, number) for number in before)
            too_new = sum((root / file_writer.name(number)).exists() for number in after)
        try:
            run("e2fsck", "-fn", device)
        except DemoError:
            return FilesFound(whole, len(before) - whole, too_new, clean=False)
    return FilesFound(whole, len(before) - whole, too_new, clean=True)
