"""File systems of the tests' own, on loop devices."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
    "btrfs": ("mkfs.btrfs", "-q"),
}


@contextmanager
def file_system(folder: Path, kind: str, size: int = 320 * MIB) -> Iterator[Path]:
    """A real one, mounted at the folder, which is made; skips the test without root."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([*MAKE[kind], image], check=True)
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
                    os.fdatasync(file.fileno())
