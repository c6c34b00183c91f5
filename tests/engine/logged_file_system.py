"""A file system whose every write is logged, and what power cuts leave of it.

A storage daemon shows an image file, with a log beneath, as a file (FUSE), and a loop device makes
a disk of that. So names, links and renames are cut as well, by the kernel's own journal.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.write_log import SECTOR, LoggedWrite, entry_count, read_log
from tests.mounts import MAKE

MIB = 1024 * 1024
SIZE = 320 * MIB


class LoggedFileSystem:
    """One that is mounted at `folder`. Call `close`, then `cut`."""

    def __init__(self, work: Path, kind: str) -> None:
        self._image, self.log = work / "image", work / "log"
        self._shown, self.folder = work / "shown", work / "mounted"
        self._cut_image = work / "cut"
        self.entries: list[LoggedWrite] = []
        with self._image.open("wb") as file:
            file.truncate(SIZE)
        self.log.touch()
        self._shown.touch()
        self.folder.mkdir()
        self._daemon = subprocess.Popen(
            [
                "qemu-storage-daemon",
                "--blockdev", f"file,node-name=image,filename={self._image}",
                "--blockdev", f"file,node-name=log,filename={self.log}",
                "--blockdev", "blklogwrites,node-name=logged,file=image,log=log,"
                f"log-sector-size={SECTOR},log-super-update-interval=1",
                "--export", f"fuse,id=shown,node-name=logged,mountpoint={self._shown},writable=on",
            ]
        )  # fmt: skip
        self._device = ""
        try:
            deadline = time.monotonic() + 20
            while self._shown.stat().st_size != SIZE:
                assert time.monotonic() < deadline, "the image is not shown"
                time.sleep(0.02)
            # Not with direct I/O, as of block devices: that corrupts data on a FUSE export.
            attach = ["losetup", "--find", "--show", str(self._shown)]
            done = subprocess.run(attach, check=True, capture_output=True, text=True)
            self._device = done.stdout.strip()
            subprocess.run([*MAKE[kind], self._device], check=True)
            subprocess.run(["mount", self._device, self.folder], check=True)
        except BaseException:
            self._end()
            raise

    def position(self) -> int:
        """How much was written so far."""
        return entry_count(self.log)

    def close(self) -> None:
        """Unmount it; what is written by that is in the log, too."""
        deadline = time.monotonic() + 20
        # What has just ended may still have files open.
        while subprocess.run(["umount", self.folder], check=False).returncode:
            assert time.monotonic() < deadline, f"{self.folder} is in use"
            time.sleep(0.1)
        self._end()
        self.entries = read_log(self.log)

    def _end(self) -> None:
        if self._device:
            subprocess.run(["losetup", "--detach", self._device], check=True)
        self._daemon.terminate()
        self._daemon.wait(20)

    def flushes(self) -> list[int]:
        """The positions right after each flush."""
        return [place + 1 for place, entry in enumerate(self.entries) if entry.flush]

    @contextmanager
    def cut(self, position: int, lot: random.Random | None) -> Iterator[Path]:
        """Mount what a cut there leaves: what was not durable is gone, or `lot` chooses of it."""
        with self._cut_image.open("wb") as file:
            file.truncate(SIZE)
            last = max((at for at in self.flushes() if at <= position), default=0)
            for place, entry in enumerate(self.entries[:position]):
                kept = place < last or entry.durable or (lot is not None and lot.random() < 0.5)
                if kept and entry.data:
                    file.seek(entry.offset)
                    file.write(entry.data)
        folder = self._cut_image.with_name("after")
        folder.mkdir()
        subprocess.run(["mount", "-o", "loop", self._cut_image, folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
            folder.rmdir()
