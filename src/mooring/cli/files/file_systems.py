"""Which file systems can be read, how they are recognised, and what reads them."""

from __future__ import annotations

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import FileSystem
from mooring.model.errors import CommandError

_OTHERS = (
    (0, b"LUKS\xba\xbe", "encrypted (LUKS)"),
    (536, b"LVM2 001", "a physical volume of LVM"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (4086, b"SWAPSPACE2", "swap space"),
    (4096, b"\xfc\x4e\x2b\xa9", "part of a RAID of Linux"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    (0, b"hsqs", "squashfs"),
    (32769, b"CD001", "ISO 9660"),
)
"""Place, magic number, and words for what cannot be read here but should be called by name."""


def kind_of(stream: ExportStream) -> str | None:
    """The kind of the file system that begins there, if it is one of those known."""
    stream.seek(0)
    head = stream.read(4096)
    if len(head) < 4096:
        return None
    if head.startswith(b"XFSB"):
        return "xfs"
    if head[1080:1082] == b"\x53\xef":
        return "ext4"
    stream.seek(0x10040)
    if stream.read(8) == b"_BHRfS_M":
        return "btrfs"
    fat = head[54:57] == b"FAT" or head[82:85] == b"FAT"
    if fat and head[510:512] == b"\x55\xaa" and head[0] in (0xEB, 0xE9):
        return "vfat"
    return None


def other_kind_of(stream: ExportStream) -> str | None:
    """What is there that cannot be read, in words for people, if it is well known."""
    for place, magic, words in _OTHERS:
        stream.seek(place)
        if stream.read(len(magic)) == magic:
            return words
    return None


def open_file_system(stream: ExportStream, kind: str) -> FileSystem:
    """Read the file system that begins there. Raises CommandError if the library is missing."""
    try:
        if kind == "ext4":
            from mooring.cli.files.ext import ExtFileSystem

            return ExtFileSystem(stream)
        if kind == "xfs":
            from mooring.cli.files.xfs import XfsFileSystem

            return XfsFileSystem(stream)
        if kind == "btrfs":
            from mooring.cli.files.btrfs import BtrfsFileSystem

            return BtrfsFileSystem(stream)
        from mooring.cli.files.fat import FatFileSystem

        return FatFileSystem(stream)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("dissect"):
            raise
        raise CommandError(
            "Reading btrfs and FAT needs the packages of dissect: "
            "pip install 'dissect.btrfs>=1.10' 'dissect.fat>=3.13'"
        ) from None
