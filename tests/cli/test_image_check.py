"""Image files that are refused before QEMU gets to read them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.cli.images.image_check import FORMATS, check, open_image
from mooring.model.errors import CommandError

Change = Callable[[bytearray], None]


def put(kind: str, at: int, *values: int) -> Change:
    return lambda header: struct.pack_into(kind, header, at, *values)


def qcow2() -> bytearray:
    header = bytearray(512)
    struct.pack_into(">4sIQIIQ", header, 0, b"QFI\xfb", 3, 0, 0, 16, 8 << 30)
    struct.pack_into(">I", header, 100, 104)
    return header


def vmdk(text: str = "CID=fffffffe\nparentCID=ffffffff\n") -> bytearray:
    header = bytearray(2048)
    struct.pack_into("<4sII4Q", header, 0, b"KDMV", 1, 3, 16384, 128, 1, 2)
    header[512 : 512 + len(text)] = text.encode()
    return header


def vdi() -> bytearray:
    header = bytearray(512)
    struct.pack_into("<II", header, 0x40, 0xBEDA107F, 0x10001)
    struct.pack_into("<I", header, 0x4C, 1)
    return header


def vhd() -> bytearray:
    content = bytearray(4096)
    content[-512:-504] = b"conectix"
    struct.pack_into(">I", content, 4096 - 512 + 60, 2)
    return content


def judge(tmp_path: Path, content: bytes | bytearray, image_format: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    fd = open_image(str(path))
    try:
        check(fd, str(path), image_format)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("content", "image_format"),
    [
        (b"anything", "raw"),
        (qcow2(), "qcow2"),
        (vmdk(), "vmdk"),
        (vdi(), "vdi"),
        (b"vhdxfile", "vhdx"),
        (vhd(), "vhd"),
    ],
)
def test_images_that_stand_by_themselves(content: bytes, image_format: str, tmp_path: Path) -> None:
    judge(tmp_path, content, image_format)


@pytest.mark.parametrize("image_format", [name for name in FORMATS if name != "raw"])
@pytest.mark.parametrize("content", [b"", b"QFI", bytes(4096), qcow2()[:80], b"\xff" * 600])
def test_other_content(content: bytes, image_format: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"is not a|not known"):
        judge(tmp_path, content, image_format)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (put(">Q", 8, 600), "backing file"),
        (put(">Q", 72, 4), "stores its data in another file"),
        (put(">Q", 72, 4 | 16), "stores its data in another file"),
        (put(">I", 60, 2), "2 internal snapshots"),
        (put(">I", 32, 2), "encrypted"),
        (put(">Q", 72, 2), "marked as damaged"),
        (put(">I", 4, 9), "version 9"),
    ],
)
def test_hostile_qcow2(change: Change, word: str, tmp_path: Path) -> None:
    content = qcow2()
    change(content)
    with pytest.raises(CommandError, match=word):
        judge(tmp_path, content, "qcow2")


@pytest.mark.parametrize(
    "content",
    [
        b'# Disk DescriptorFile\nversion=1\nRW 16384 FLAT "/etc/shadow" 0\n',
        b"COWD" + bytes(600),
        vmdk('parentCID=12345678\nparentFileNameHint="/etc/shadow"\n'),
        vmdk('parentCID=ffffffff\nPARENTFILENAMEHINT = "/etc/shadow"\n'),
        bytes(vmdk()[:12]) + bytes(8) + bytes(vmdk()[20:]),
        bytes(vmdk()[:28]) + bytes(8) + bytes(vmdk()[36:]),
    ],
)
def test_hostile_vmdk(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"other files|a parent"):
        judge(tmp_path, content, "vmdk")


@pytest.mark.parametrize("change", [put("<I", 0x4C, 4), put("<Q", 0x1B8, 1), put("<Q", 0x1A8, 1)])
def test_hostile_vdi(change: Change, tmp_path: Path) -> None:
    content = vdi()
    change(content)
    with pytest.raises(CommandError, match="a parent image"):
        judge(tmp_path, content, "vdi")


def test_hostile_vhd(tmp_path: Path) -> None:
    content = vhd()
    struct.pack_into(">I", content, 4096 - 512 + 60, 4)
    with pytest.raises(CommandError, match="a parent image"):
        judge(tmp_path, content, "vhd")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/null")):
        with pytest.raises(CommandError, match="is not a regular file"):
            open_image(str(path))
    with pytest.raises(CommandError, match="No such file"):
        open_image(str(tmp_path / "none"))
    with pytest.raises(CommandError, match="is not the name of a file"):
        open_image('json:{"driver":"file","filename":"/etc/shadow"}')
