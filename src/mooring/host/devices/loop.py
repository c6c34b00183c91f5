"""Loop devices: the kernel's block devices on files.

Numbers and layouts are those of linux/loop.h (LOOP_CONFIGURE since Linux 5.8).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from mooring.model.errors import HostError

CONTROL = Path("/dev/loop-control")
LINKS = Path("/dev/mooring")

_LOOP_CLR_FD = 0x4C01
_LOOP_SET_STATUS64 = 0x4C04
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82

_INFO = struct.Struct("<5Q4I64s64s32s2Q")
_CONFIG_HEAD = struct.Struct("<2I")
_CONFIG_TAIL = bytes(64)
_FLAGS = 8
"""Where `lo_flags` is among the fields of `_INFO`."""
_NAME = 9
_AUTOCLEAR, _PARTSCAN = 4, 8

_ATTEMPTS = 64


@dataclass(frozen=True, slots=True)
class LoopDevice:
    """A loop device, made of `file` and given `name`."""

    path: str
    name: str
    file: Path


def bind(file: Path, name: str) -> str:
    """Make a device of the file and give it the name (at most 63 bytes); returns its path.

    Never with direct I/O, which has been seen to corrupt data on a FUSE export. Raises HostError.
    """
    fields = [0] * _FLAGS + [_PARTSCAN, name.encode(), b"", b"", 0, 0]
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        config = _CONFIG_HEAD.pack(backing, 0) + _INFO.pack(*fields) + _CONFIG_TAIL
        for _ in range(_ATTEMPTS):
            with CONTROL.open("rb") as control:
                path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as error:
                # Somebody else was faster.
                if error.errno != errno.EBUSY:
                    raise
            else:
                return path
            finally:
                os.close(device)
    except OSError as error:
        raise HostError(f"no loop device for {file}: {error}") from error
    finally:
        os.close(backing)
    raise HostError(f"no loop device for {file}: others keep taking them first")


def find(name: str, file: Path) -> LoopDevice | None:
    """The device that is made of that file or, if that cannot be told, was given that name."""
    for folder in Path("/sys/block").glob("loop*/loop"):
        device = LoopDevice(f"/dev/{folder.parent.name}", name, file)
        if _is_bound(device):
            return device
    return None


def follow_file(device: LoopDevice) -> None:
    """Let the device be as large as its file is now, in use or not. Raises OSError."""
    with Path(device.path).open("rb", buffering=0) as opened:
        fcntl.ioctl(opened, _LOOP_SET_CAPACITY)


def release(device: LoopDevice) -> bool:
    """Write everything through and free the device; False if somebody has it open."""
    try:
        fd = os.open(device.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise HostError(f"{device.path} cannot be opened: {error.strerror}") from error
    try:
        if not _is_bound(device):
            return True
        with contextlib.suppress(OSError):
            os.fsync(fd)  # fails where the file behind it is gone
        fcntl.ioctl(fd, _LOOP_CLR_FD)
    finally:
        os.close(fd)
    if not _is_bound(device):
        return True
    # Somebody has it open, and it would go when they close it.
    _keep(device)
    return False


class DeviceLinks:
    """Names that stay, `/dev/mooring/<disk>`: links to whatever device it is now.

    They are for people and fstab: what cannot be linked works without.
    """

    def __init__(self, folder: Path = LINKS) -> None:
        self._folder = folder

    def put(self, name: str, device: str) -> None:
        """Let the name lead to the device, unless it leads to another one that is there.

        The first disk of a name, of any region or server, has the link.
        """
        if not name or name.startswith(".") or "/" in name:
            return
        link = self._folder / name
        with contextlib.suppress(OSError):
            if link.is_symlink():
                target = os.readlink(link)  # noqa: PTH115 - as it is written
                if target == device or _has_file(target):
                    return
            elif link.exists():
                return
            self._folder.mkdir(mode=0o755, exist_ok=True)
            new = self._folder / f".{name}.new"
            new.unlink(missing_ok=True)
            new.symlink_to(device)
            new.rename(link)

    def remove(self, device: str) -> None:
        """Remove what leads to the device, which is about to go."""
        with contextlib.suppress(OSError):
            for link in list(self._folder.iterdir()):
                if link.is_symlink() and os.readlink(link) == device:  # noqa: PTH115
                    link.unlink()
            self._folder.rmdir()


def _has_file(device: str) -> bool:
    """Whether the loop device has a file: one that has none serves no disk."""
    return Path("/sys/block", Path(device).name, "loop/backing_file").exists()


def _is_bound(device: LoopDevice) -> bool:
    try:
        text = Path(f"/sys/block/{Path(device.path).name}/loop/backing_file").read_text()
    except OSError:
        return False  # it has no file
    # The path is right while its mount is there, and the name while what is mounted answers.
    return text.removesuffix("\n") == str(device.file) or _name(device.path) == device.name


def _keep(device: LoopDevice) -> None:
    """Take back that the device is to go when it is closed, unless it is broken."""
    with contextlib.suppress(OSError), Path(device.path).open("rb") as opened:
        fields = list(_INFO.unpack(fcntl.ioctl(opened, _LOOP_GET_STATUS64, bytes(_INFO.size))))
        fields[_FLAGS] &= ~_AUTOCLEAR
        fcntl.ioctl(opened, _LOOP_SET_STATUS64, _INFO.pack(*fields))


def _name(path: str) -> str | None:
    try:
        with Path(path).open("rb") as opened:
            fields = _INFO.unpack(fcntl.ioctl(opened, _LOOP_GET_STATUS64, bytes(_INFO.size)))
    except OSError:
        return None
    text: bytes = fields[_NAME]
    return text.rstrip(b"\0").decode(errors="replace")
