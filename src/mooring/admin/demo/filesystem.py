"""File systems on Mooring's disks, without the kernel's own NBD client."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from mooring.admin.demo.server import DemoError, pause
from mooring.model.clock import SystemClock

COMMAND_SECONDS = 120.0
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
PROGRAMS = ("nbdfuse", "fusermount3", "losetup", "mount", "umount", "mkfs.ext4", "e2fsck")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def why_not() -> str:
    """Why file systems cannot be mounted here; empty if they can."""
    if os.geteuid() != 0:
        return "only root can mount"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            return f"there is no {device} here"
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    return f"{', '.join(missing)} not installed" if missing else ""


def run(*command: str) -> str:
    """Run a command; returns what it printed. Raises DemoError if it failed."""
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": _PATH},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def device_of(uri: str, folder: Path) -> Iterator[str]:
    """A block device with the content of an NBD export."""
    with _file_of(uri, folder) as file, _loop_device(file) as device:
        yield device


@contextlib.contextmanager
def mounted(device: str, folder: Path) -> Iterator[Path]:
    """The ext4 file system on a device; mounting it replays its journal."""
    folder.mkdir()
    run("mount", "-t", "ext4", device, str(folder))
    try:
        yield folder
    finally:
        run("umount", str(folder))
        folder.rmdir()


@contextlib.contextmanager
def _file_of(uri: str, folder: Path) -> Iterator[Path]:
    """A file with the content of an NBD export, below `folder`, which this makes."""
    folder.mkdir()
    ready = folder.with_name(f"{folder.name}.pid")
    process = subprocess.Popen(["nbdfuse", "-P", str(ready), f"{folder}/disk", uri])
    try:
        _until(lambda: ready.exists() or process.poll() is not None, "nbdfuse")
        if process.poll() is not None:
            raise DemoError("nbdfuse has ended")
        yield folder / "disk"
    finally:
        # Until the kernel has closed the loop device's file.
        _until(lambda: process.poll() is not None or _unmounted(folder), f"{folder} to unmount")
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        ready.unlink(missing_ok=True)
        folder.rmdir()


def _until(reached: Callable[[], object], what: str) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE_SECONDS
    while not reached():
        if clock.monotonic() > deadline:
            raise DemoError(f"waited {PATIENCE_SECONDS:.0f} s in vain for {what}")
        pause(POLL_SECONDS)


def _unmounted(folder: Path) -> bool:
    done = subprocess.run(["fusermount3", "-u", str(folder)], capture_output=True, check=False)
    return done.returncode == 0


@contextlib.contextmanager
def _loop_device(file: Path) -> Iterator[str]:
    # Never with direct I/O, which corrupts data on such a file.
    device = run("losetup", "--find", "--show", str(file)).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)
