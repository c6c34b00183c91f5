"""What an image file may not be before QEMU gets to read it.

An image can name other files: one that it is laid on, one that holds its data, pieces of it. Who
made the image chose the names, so whoever imports it could be made to read their own secrets into
a snapshot. Such images are refused here by what their headers say, the format being named by the
user and never guessed; QEMU is then told to open nothing but this file. The layouts are those of
the published specifications: docs/interop/qcow2 of QEMU, VMware's virtual disk format 1.1, the
header of VirtualBox's VDI, Microsoft's VHD and VHDX.
"""

from __future__ import annotations

import os
import stat
import struct

from mooring.model.counts import counted
from mooring.model.errors import CommandError

FORMATS = {
    "raw": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vdi": "vdi",
    "vhdx": "vhdx",
    "vhd": "vpc",
}
"""The formats that can be imported, and QEMU's names of them."""

_HEADER = 512
_DESCRIPTOR = 64 * 1024
_NO_PARENT = b"ffffffff"


def open_image(path: str) -> int:
    """Open a regular file for reading. Raises CommandError; never waits, as for a FIFO."""
    if path.startswith("json:"):
        raise CommandError(f"{path} is not the name of a file.")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise CommandError(f"{path} is not a regular file: only image files are imported.")
    return fd


def check(fd: int, path: str, image_format: str) -> None:
    """Raise CommandError unless the file is an image of that format that stands by itself."""
    header = os.pread(fd, _HEADER, 0)
    if image_format == "qcow2":
        _check_qcow2(header, path)
    elif image_format == "vmdk":
        _check_vmdk(fd, header, path)
    elif image_format == "vdi":
        _check_vdi(header, path)
    elif image_format == "vhdx":
        if not header.startswith(b"vhdxfile"):
            raise _another(path, "vhdx")
    elif image_format == "vhd":
        _check_vhd(fd, header, path)


def _check_qcow2(header: bytes, path: str) -> None:
    if len(header) < 72 or header[:4] != b"QFI\xfb":
        raise _another(path, "qcow2")
    (version,) = struct.unpack_from(">I", header, 4)
    if version not in (2, 3):
        raise CommandError(f"{path} is qcow2 version {version}, which is not known.")
    (backing,) = struct.unpack_from(">Q", header, 8)
    (encryption,) = struct.unpack_from(">I", header, 32)
    (snapshots,) = struct.unpack_from(">I", header, 60)
    incompatible = 0
    if version == 3:
        if len(header) < 104:
            raise _another(path, "qcow2")
        (incompatible,) = struct.unpack_from(">Q", header, 72)
    if backing:
        raise _refused(path, "has a backing file", "qcow2")
    if incompatible & 4:
        raise _refused(path, "stores its data in another file", "qcow2")
    if snapshots:
        raise _refused(path, f"contains {counted(snapshots, 'internal snapshot')}", "qcow2")
    if encryption:
        raise _refused(path, "is encrypted", "qcow2")
    if incompatible & 2:
        raise CommandError(f"{path} is marked as damaged: repair it with `qemu-img check -r all`.")


def _check_vmdk(fd: int, header: bytes, path: str) -> None:
    if header.startswith(b"# Disk DescriptorFile") or header[:4] == b"COWD":
        raise _refused(path, "only describes other files, which hold the data", "vmdk")
    if len(header) < 80 or header[:4] != b"KDMV":
        raise _another(path, "vmdk")
    capacity, _, at, length = struct.unpack_from("<4Q", header, 12)
    if not capacity or not at:
        raise _refused(path, "only describes other files, which hold the data", "vmdk")
    # QEMU reads it from there, too, and as much of it as there is.
    text = os.pread(fd, min(max(length * 512, 1), _DESCRIPTOR), min(at * 512, 2**62))
    for line in text.partition(b"\0")[0].splitlines():
        name, _, value = (part.strip().lower() for part in line.partition(b"="))
        if name == b"parentfilenamehint" or (name == b"parentcid" and value != _NO_PARENT):
            raise _refused(path, "has a parent image", "vmdk")


def _check_vdi(header: bytes, path: str) -> None:
    if len(header) < 0x1C8 or struct.unpack_from("<I", header, 0x40)[0] != 0xBEDA107F:
        raise _another(path, "vdi")
    (kind,) = struct.unpack_from("<I", header, 0x4C)
    if kind not in (1, 2) or any(header[0x1A8:0x1C8]):
        raise _refused(path, "has a parent image", "vdi")


def _check_vhd(fd: int, header: bytes, path: str) -> None:
    footer = header
    if not footer.startswith(b"conectix"):
        # One of a fixed size has it at the end only.
        footer = os.pread(fd, _HEADER, max(0, os.fstat(fd).st_size - _HEADER))
    if len(footer) < _HEADER or not footer.startswith(b"conectix"):
        raise _another(path, "vhd")
    (kind,) = struct.unpack_from(">I", footer, 60)
    if kind not in (2, 3):
        raise _refused(path, "has a parent image", "vhd")


def _another(path: str, image_format: str) -> CommandError:
    return CommandError(
        f"{path} is not a {image_format} image. The format is never guessed: name it with "
        f"--format, one of {', '.join(FORMATS)}."
    )


def _refused(path: str, what: str, image_format: str) -> CommandError:
    return CommandError(
        f"{path} {what}, so it is not imported. If you trust it, make one image of it first: "
        f"qemu-img convert -f {image_format} -O raw {path} NEW, and import that with --format raw."
    )
