"""Spoilt images are read to their end, or refused in words."""

from __future__ import annotations

import itertools
import os
import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from dissect.btrfs import stream

from mooring.cli.files import btrfs  # noqa: F401 - decompresses in place of dissect
from mooring.cli.files.copying import Copier
from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.snapshot_files import SnapshotFiles, files_of
from mooring.cli.own import file_commands
from mooring.model.errors import CommandError
from tests.cli.files.images import MIB, data_of, make, opened, stream_of

CASES = 40
PROGRAMS = {"ext2": "mke2fs", "ext4": "mke2fs", "xfs": "mkfs.xfs", "btrfs": "mkfs.btrfs",
            "exfat": "mkfs.exfat"}  # fmt: skip
KINDS = ("ext2", "ext4", "xfs", "btrfs", "fat12", "fat16", "fat32", "exfat")
# Without these nobody would look at the rest.
MAGIC = {*range(4), *range(54, 62), *range(82, 90), 510, 511, 1080, 1081, *range(0x10040, 0x10048)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "deep/er").mkdir(parents=True)
    for number in range(40):
        (root / f"deep/some-longer-name-{number}").write_bytes(b"content" * number * 8)
    return root


def image_of(kind: str, tree: Path) -> Path:
    """An image with the tree in it, made without mounting."""
    image = tree.with_name("image")
    if kind.startswith("ext"):
        make(image, 16 * MIB, "mke2fs", "-q", "-F", "-t", kind, "-d", str(tree))
    elif kind == "btrfs":
        make(image, 120 * MIB, "mkfs.btrfs", "-q", "--rootdir", str(tree))
    elif kind == "xfs":
        names = [path.name for path in sorted((tree / "deep").glob("some*"))]
        files = "\n".join(f"{name} ---644 0 0 {tree}/deep/{name}" for name in names)
        proto = tree.with_name("proto")
        proto.write_text(f"/\n0 0\nd--755 0 0\ndeep d--755 0 0\n{files}\n$\n$\n")
        make(image, 300 * MIB, "mkfs.xfs", "-q", "-p", str(proto))
    elif kind == "exfat":
        make(image, 16 * MIB, "mkfs.exfat")
    else:
        size = {"fat12": 1, "fat16": 20, "fat32": 40}[kind]
        make(image, size * MIB, "mkfs.fat", "-F", kind[3:], "-s", "1")
        words = ["mcopy", "-s", "-i", str(image), f"{tree}/deep", "::"]
        subprocess.run(words, check=True)
    return image


def read(disk: ExportStream, target: Path) -> str:
    """What `ls` and `cp` would say; all of both is done."""
    try:
        with files_of(disk, "saved", None) as files:
            _list(files, "/", 0)
            Copier(files).copy(files.find("/"), str(target.parent), os.fsencode(target.name))
    except CommandError as error:
        return str(error)
    return ""


def _list(files: SnapshotFiles, path: str, depth: int) -> None:
    for child in files.entries(path, files.find(path)):
        file_commands._line(files, child)
        if child.is_directory and depth < 4:
            _list(files, f"{path}/{os.fsdecode(child.name)}", depth + 1)


def spoilt(image: Path, chance: random.Random) -> dict[int, int]:
    """Bytes to be others: bits turned, numbers too large, zeros, and pieces from elsewhere."""
    with image.open("rb") as file:
        places = list(data_of(file))
        changes: dict[int, int] = {}
        way = chance.choice(("turn", "turn", "large", "zero", "elsewhere"))
        for _ in range(chance.choice((1, 3, 10, 40, 200))):
            at = chance.choice(places) + chance.randrange(0, 448, 4)
            if way == "turn":
                piece = bytearray(os.pread(file.fileno(), 4, at))
                piece[chance.randrange(4)] ^= 1 << chance.randrange(8)
            elif way == "elsewhere":
                piece = bytearray(os.pread(file.fileno(), 64, chance.choice(places)))
            else:
                piece = bytearray(b"\xff" * 4 if way == "large" else 4)
            changes.update(enumerate(piece, at))
    return {at: byte for at, byte in changes.items() if at not in MAGIC}


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_images_end_in_words(
    kind: str, tree: Path, tmp_path: Path, requires: Callable[[str], str]
) -> None:
    requires(PROGRAMS.get(kind, "mcopy"))
    image = image_of(kind, tree)
    sound = read(stream_of(image), tmp_path / "sound")
    assert sound == "" or "is exFAT" in sound
    chance = random.Random(11)
    for number in range(CASES):
        said = read(stream_of(image, spoilt(image, chance)), tmp_path / f"spoilt-{number}")

        # So speaks the watchdog, after minutes; or whoever takes all memory.
        assert "go in circles" not in said
        assert "unreasonable amount of memory" not in said


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_cut_images_end_in_words(
    kind: str, tree: Path, tmp_path: Path, requires: Callable[[str], str]
) -> None:
    requires(PROGRAMS.get(kind, "mcopy"))
    image = image_of(kind, tree)
    for number, size in enumerate((4096, 66_000, 70_000, 600_000, 2 * MIB, 3 * MIB)):
        os.truncate(image, min(size, image.stat().st_size))

        said = read(stream_of(image), tmp_path / f"cut-{number}")

        assert "go in circles" not in said


class Fat:
    """A FAT16 image with one file in its root, of which the clusters can be put elsewhere."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.image = folder / "fat"
        make(self.image, 20 * MIB, "mkfs.fat", "-F", "16", "-s", "1")
        (folder / "file").write_bytes(content)
        subprocess.run(["mcopy", "-i", self.image, folder / "file", "::"], check=True)
        data = self.image.read_bytes()[:MIB]
        reserved, fats, _, length = struct.unpack_from("<HBH3xH", data, 14)
        self._fat = reserved * 512
        entry = data.index(b"FILE ", self._fat + fats * length * 512)
        (self.first,) = struct.unpack_from("<H", data, entry + 26)

    def chain(self, *clusters: int) -> None:
        with self.image.open("r+b") as file:
            for one, following in itertools.pairwise(clusters):
                os.pwrite(file.fileno(), struct.pack("<H", following), self._fat + 2 * one)


@pytest.mark.requires("mkfs.fat", "mcopy")
def test_clusters_in_any_order(tmp_path: Path) -> None:
    """Also one right before another, as what is written into gaps has them."""
    pieces = [bytes([number]) * 512 for number in range(6)]
    fat = Fat(tmp_path, b"".join(pieces))
    order = (0, 2, 1, 3, 5, 4)
    fat.chain(*(fat.first + number for number in order), 0xFFFF)

    system = opened(fat.image)
    (node,) = system.children(system.root())

    assert system.open(node).read() == b"".join(pieces[number] for number in order)


@pytest.mark.requires("mkfs.fat", "mcopy")
@pytest.mark.parametrize("circle", [1, 2, 3])
def test_clusters_in_circles(circle: int, tmp_path: Path) -> None:
    fat = Fat(tmp_path, bytes(512 * 6))
    around = [fat.first + number for number in range(circle)]
    fat.chain(*around, around[0])

    system = opened(fat.image)
    (node,) = system.children(system.root())

    assert len(system.open(node).read()) == node.size


@pytest.mark.parametrize("compression", [1, 3])
def test_little_that_becomes_much(compression: int) -> None:
    """Compressed extents of btrfs hold 128 KiB at most, whatever they say."""
    much = bytes(64 * MIB)
    little = zlib.compress(much) if compression == 1 else zstd.compress(much)
    assert len(little) < 128 * 1024

    assert len(stream.decode_extent(little, compression, 0, 4096)) == 128 * 1024
