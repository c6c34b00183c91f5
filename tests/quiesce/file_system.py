"""An ext4 of its own on a loop device, to be frozen and thawed."""

from __future__ import annotations

import os
import struct
import subprocess
import threading
from pathlib import Path

from mooring.admin.demo.filesystem import run


class FileSystem:
    """Mounted at `mount` from `device`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file, self.mount = folder / "image", folder / "mount"
        with self.file.open("wb") as file:
            file.truncate(32 * 1024 * 1024)
        self.device = run("losetup", "--find", "--show", "--partscan", str(self.file)).strip()
        run("mkfs.ext4", "-q", self.device)
        self.mount.mkdir()
        self._writers: list[threading.Thread] = []
        self.mount_it()

    def mount_it(self) -> None:
        run("mount", self.device, str(self.mount))

    def partition(self) -> str:
        """Give the device one partition instead of its file system; returns its path."""
        self.unmount()
        table = bytearray(512)
        # Of the type Linux, from 1 MiB on, 16 MiB long (the entry of a master boot record).
        table[446:462] = struct.pack("<B3sB3sII", 0, b"", 0x83, b"", 2048, 32768)
        table[510:] = b"\x55\xaa"
        with Path(self.device).open("r+b") as device:
            device.write(table)
            device.flush()
            os.fsync(device.fileno())
        # A kernel built without partition tables has not found it by itself.
        if not Path(f"{self.device}p1").exists():
            run("partx", "--add", self.device)
        return f"{self.device}p1"

    def unmount(self) -> None:
        run("umount", str(self.mount))

    def writes(self, seconds: float = 0.3) -> bool:
        """Whether a write comes through in that time; it does in the end, by the thaw."""

        def write() -> None:
            with (self.mount / "probe").open("ab") as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(seconds)
        self._writers.append(thread)
        return not thread.is_alive()

    def close(self) -> None:
        # In case a test failed while it was frozen.
        subprocess.run(["fsfreeze", "-u", str(self.mount)], capture_output=True, check=False)
        for writer in self._writers:
            writer.join()
        if os.path.ismount(self.mount):
            self.unmount()
        run("losetup", "--detach", self.device)
