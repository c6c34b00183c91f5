"""File systems of the tests' own, on loop devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024

_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
}


@contextmanager
def file_system(kind: str, at: Path, mib: int = 512) -> Iterator[Path]:
    """Mount a new one at the folder `at`; skips the test without root."""
    if os.geteuid():
        pytest.skip("needs root to mount")
    image = at.with_name(f"{at.name}.image")
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    subprocess.run([*_MAKE[kind], str(image)], check=True)
    at.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)
        image.unlink()
