"""Files are read from a disk as the kernel reads them, mounted."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from mooring.cli.files.file_system import FileSystem, Node
from mooring.cli.files.snapshot_files import choose
from mooring.model.errors import CommandError, UnreadableFileError
from tests.cli.files.images import (
    MIB,
    as_mounted,
    as_read,
    can_mount,
    data_of,
    fill,
    make,
    mounted,
    opened,
    program,
    stream_of,
)

LAYOUTS = {
    "ext2": ("mke2fs", "-q", "-F", "-t", "ext2"),
    "ext2-1k": ("mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024", "-I", "128"),
    "ext3": ("mke2fs", "-q", "-F", "-t", "ext3"),
    "ext4": ("mke2fs", "-q", "-F", "-t", "ext4"),
    "ext4-1k": ("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024",
                "-O", "meta_bg,^64bit,^resize_inode"),
    "ext4-inline": ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "inline_data,ea_inode"),
    "ext4-clusters": ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "bigalloc", "-C", "65536"),
    "xfs": ("mkfs.xfs", "-q"),
    "xfs-1k": ("mkfs.xfs", "-q", "-b", "size=1024", "-m", "bigtime=0,inobtcount=0"),
    "xfs-wide": ("mkfs.xfs", "-q", "-n", "size=16384", "-i", "nrext64=1,size=1024"),
    "btrfs": ("mkfs.btrfs", "-q"),
}  # fmt: skip


@pytest.fixture
def may_mount(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs to mount images")


@pytest.mark.full
@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_the_kernel_reads_them(layout: str, tmp_path: Path) -> None:
    words = LAYOUTS[layout]
    if shutil.which(program(words[0])) is None:
        pytest.skip(f"needs {words[0]}")
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    make(image, 600 * MIB, *words)
    options = "loop,compress-force=zstd" if layout == "btrfs" else "loop"
    with mounted(image, place, options):
        fill(place, seed=sum(layout.encode()))
    with mounted(image, place, "loop,ro"):
        expected = as_mounted(place)

    system = opened(image)
    found = as_read(system)

    assert system.note == ""
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.full
@pytest.mark.usefixtures("may_mount")
@pytest.mark.requires("mkfs.xfs", "fsfreeze")
def test_the_log_of_xfs(tmp_path: Path) -> None:
    """What only the log holds is told of; a frozen or unmounted file system has all in place."""
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    make(image, 400 * MIB, "mkfs.xfs", "-q")
    assert opened(image).note == ""
    for _ in range(2):
        with mounted(image, place):
            # So much that the log is written over more than once.
            for number in range(4000):
                (place / f"file-{number}").touch()
            for number in range(4000):
                (place / f"file-{number}").unlink()
            (place / "file").touch()
            os.sync()
            assert "changes that are not in their places" in opened(_copied(image)).note
            subprocess.run([program("fsfreeze"), "-f", str(place)], check=True)
            try:
                frozen = opened(_copied(image))
            finally:
                subprocess.run([program("fsfreeze"), "-u", str(place)], check=True)
            assert frozen.note == ""
            assert as_read(frozen).keys() == {b"file"}
        assert opened(image).note == ""


@pytest.mark.full
@pytest.mark.usefixtures("may_mount")
@pytest.mark.requires("mkfs.btrfs")
def test_the_log_of_btrfs(tmp_path: Path) -> None:
    """What was synchronised since the last commit is told of."""
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    make(image, 400 * MIB, "mkfs.btrfs", "-q")
    with mounted(image, place, "loop,commit=300"):
        (place / "old").write_bytes(b"old")
        os.sync()
        assert opened(_copied(image)).note == ""
        with (place / "old").open("ab") as file:
            file.write(b"new")
            file.flush()
            os.fsync(file.fileno())
        assert "synchronised since its last commit" in opened(_copied(image)).note
    assert opened(image).note == ""


def _copied(image: Path) -> Path:
    copy = image.with_name("copy")
    words = ["cp", "--sparse=always", str(image), str(copy)]
    subprocess.run(words, check=True)
    return copy


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "deep/er").mkdir(parents=True)
    for number in range(60):
        (root / f"deep/file-{number}").write_bytes(b"content" * number)
    (root / "link").symlink_to("deep/er")
    (root / "long").symlink_to("x" * 300)
    return root


@pytest.mark.full
@pytest.mark.parametrize("kind", ["ext2", "ext4", "ext4-inline", "xfs"])
def test_damage_ends_in_words(kind: str, tree: Path, tmp_path: Path) -> None:
    """Any bytes may be anything: what cannot be read is said to be so, in finite time."""
    image = tmp_path / "image"
    if kind == "xfs":
        if shutil.which(program("mkfs.xfs")) is None:
            pytest.skip("needs mkfs.xfs")
        names = [path.name for path in sorted((tree / "deep").glob("file-*"))]
        files = "\n".join(f"{name} ---644 0 0 {tree}/deep/{name}" for name in names)
        proto = tmp_path / "proto"
        proto.write_text(f"/\n0 0\nd--755 0 0\ndeep d--755 0 0\n{files}\n$\n$\n")
        make(image, 300 * MIB, "mkfs.xfs", "-q", "-p", str(proto))
    else:
        options = ["-O", "inline_data"] if kind == "ext4-inline" else []
        words = ["mke2fs", "-q", "-F", "-t", kind[:4], *options, "-d", str(tree)]
        make(image, 8 * MIB, *words)
    with image.open("rb") as file:
        places = [at for at in data_of(file) if at % 512 == 0]
    sound = as_read(opened(image))
    assert len(sound) > 50
    chance = random.Random(7)
    refused = 0
    for _ in range(40):
        changes = {
            chance.choice(places) + chance.randrange(512): chance.randrange(256)
            for _ in range(chance.choice((1, 10, 300)))
        }
        # The magic numbers stay, or it would not be looked at.
        magic = (*range(4), 1080, 1081)
        changes = {at: byte for at, byte in changes.items() if at not in magic}
        try:
            _walk(opened(image, changes))
        except UnreadableFileError:
            refused += 1
    assert refused


def _walk(system: FileSystem) -> None:
    seen = 0

    def walk(node: Node, depth: int) -> None:
        nonlocal seen
        for child in system.children(node):
            seen += 1
            if child.is_symlink:
                assert len(system.target(child)) <= 4096
            elif child.is_file:
                system.open(child).read(MIB)
            elif child.is_directory and depth < 8 and seen < 5000:
                walk(child, depth + 1)

    walk(system.root(), 0)


WHOLE = {
    "LUKS": (0, b"LUKS\xba\xbe", "is encrypted (LUKS), which cannot be read here"),
    "LVM": (536, b"LVM2 001", "is a physical volume of LVM, which cannot be read here"),
    "swap": (4086, b"SWAPSPACE2", "is swap space, which cannot be read here"),
    "nothing": (0, b"", "has no file system that can be read."),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_cannot_be_read_is_called_by_name(kind: str, tmp_path: Path) -> None:
    place, magic, words = WHOLE[kind]
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(2 * MIB)
        os.pwrite(file.fileno(), magic, place)
    with pytest.raises(CommandError) as caught:
        choose(stream_of(disk), "saved", None)
    assert f"saved {words}" in str(caught.value)

    # The same as the second of two partitions.
    with disk.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(4096 + len(magic)), 0)
        for number, begin in enumerate((1024, 2048)):
            entry = struct.pack("<B3xB3xII", 0, 0x83, begin, 1024)
            os.pwrite(file.fileno(), entry, 446 + 16 * number)
        os.pwrite(file.fileno(), b"\x55\xaa", 510)
        os.pwrite(file.fileno(), magic, MIB + place)
    with pytest.raises(CommandError, match="on its 2 partitions") as caught:
        choose(stream_of(disk), "saved", None)
    assert ("(2 is " in str(caught.value)) == (kind != "nothing")
    with pytest.raises(CommandError) as caught:
        choose(stream_of(disk), "saved", 2)
    assert f"Partition 2 of saved {words}" in str(caught.value)
