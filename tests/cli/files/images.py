"""Images of file systems: filled by the kernel, read by us."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import FileSystem, Node
from mooring.cli.files.file_systems import kind_of, open_file_system

MIB = 1024 * 1024
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
Told = dict[bytes, tuple[object, ...]]


class ImageClient:
    """What an export is to `ExportStream`: an image, with some of its bytes changed."""

    def __init__(self, image: Path, changes: Mapping[int, int]) -> None:
        self._image = image
        self._changes = changes
        self.info = SimpleNamespace(size=image.stat().st_size)

    def read(self, offset: int, length: int) -> bytes:
        with self._image.open("rb") as file:
            data = bytearray(os.pread(file.fileno(), length, offset))
        for at, byte in self._changes.items():
            if offset <= at < offset + len(data):
                data[at - offset] = byte
        return bytes(data)


def stream_of(image: Path, changes: Mapping[int, int] | None = None) -> ExportStream:
    client: Any = ImageClient(image, changes or {})
    return ExportStream(client)


def opened(image: Path, changes: Mapping[int, int] | None = None) -> FileSystem:
    """The file system of an image, some bytes of which are others, by their places."""
    stream = stream_of(image, changes)
    kind = kind_of(stream)
    assert kind is not None
    return open_file_system(stream, kind)


def data_of(file: BinaryIO) -> Iterator[int]:
    """The places of the sectors of a sparse file that hold anything, but long runs of zeros."""
    at, end = 0, os.fstat(file.fileno()).st_size
    while at < end:
        try:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
        while at < hole:
            if any(os.pread(file.fileno(), 512, at)):
                yield at
            at += 512


def program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or name


def make(image: Path, size: int, *words: str) -> None:
    """Run mkfs on a new sparse file."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([program(words[0]), *words[1:], str(image)], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount images, tried once."""
    image = folder / "try"
    make(image, 4 * MIB, "mke2fs", "-q", "-F", "-t", "ext4")
    (folder / "try-mount").mkdir()
    try:
        with mounted(image, folder / "try-mount"):
            return True
    except subprocess.CalledProcessError:
        return False


@contextmanager
def mounted(image: Path, place: Path, options: str = "loop") -> Iterator[Path]:
    words = [program("mount"), "-o", options, str(image), str(place)]
    subprocess.run(words, check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run([program("umount"), str(place)], check=True)


def fill(root: Path, seed: int) -> None:
    """Files of every shape that matters to who reads them from the disk itself."""
    chance = random.Random(seed)
    for number, files in enumerate((1, 4, 12)):
        folder = root / f"folder-{number}"
        folder.mkdir()
        for index in range(files):
            _odd_file(folder / f"file-{index}", chance)
    _many(root / "many", chance)
    with (root / "tail-is-a-hole").open("wb") as file:
        file.write(b"x" * 5000)
        file.truncate(2**24)
    with (root / "holes").open("wb") as file:
        file.truncate(2**27)
        os.pwrite(file.fileno(), b"middle", 100_000_005)
    with (root / "pieces").open("wb") as file:
        for index in range(500):
            os.pwrite(file.fileno(), chance.randbytes(4096), index * 8192)
    for length in (10, 59, 60, 61, 200, 1000):
        (root / f"link-{length}").symlink_to("x" * length)
    for name in (b"\xff\xfe", "ü".encode(), b" before", b"new\nline"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
    os.utime(root / "pieces", ns=(10**18, 7 * 10**18 // 4))


def _odd_file(path: Path, chance: random.Random) -> None:
    allocate = ctypes.CDLL(None).fallocate
    with path.open("wb") as file:
        fd = file.fileno()
        for _ in range(chance.choice((0, 1, 3, 20, 40))):
            place = chance.choice((0, 1, chance.randrange(2**16), chance.randrange(2**24)))
            length = chance.choice((1, 100, 4096, 70_000))
            kind = chance.choice(("noise", "noise", "words", "reserve", "keep", "punch", "cut"))
            if kind == "noise":
                os.pwrite(fd, chance.randbytes(length), place)
            elif kind == "words":
                os.pwrite(fd, b"again and " * length, place)
            elif kind == "cut":
                os.ftruncate(fd, place)
            else:
                mode = {"reserve": 0, "keep": _KEEP_SIZE, "punch": _KEEP_SIZE | _PUNCH_HOLE}[kind]
                allocate(fd, mode, ctypes.c_long(place), ctypes.c_long(length * 16))


def _many(folder: Path, chance: random.Random) -> None:
    """A directory with an index, and gaps in it."""
    folder.mkdir()
    for index in range(600):
        name = "n" * chance.randrange(200) + str(index)
        (folder / name).write_bytes(chance.randbytes(chance.randrange(300)))
    for name in sorted(os.listdir(folder))[::3]:  # noqa: PTH208
        (folder / name).unlink()


def as_mounted(root: Path) -> Told:
    """What the kernel says of a tree."""
    told: Told = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(folder, name)  # noqa: PTH118 - names are bytes
            info = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)  # noqa: PTH115
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123
                    content = digest(file, info.st_size)
            what = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content)
            told[os.path.relpath(path, os.fsencode(root))] = what
    return told


def as_read(system: FileSystem) -> Told:
    """What we say of it."""
    told: Told = {}

    def walk(node: Node, path: bytes) -> None:
        for child in system.children(node):
            place = path + b"/" + child.name if path else child.name
            content: object = None
            if child.is_symlink:
                content = system.target(child)
            elif child.is_file:
                content = digest(system.open(child), child.size)
                _check_ranges(system, child)
            told[place] = (child.mode, child.uid, child.gid, child.mtime_ns, content)
            if child.is_directory:
                walk(child, place)

    walk(system.root(), b"")
    return told


def digest(file: Any, size: int) -> tuple[int, str]:
    found, left = blake2b(), size
    while left:
        data = file.read(min(left, MIB))
        if not data:
            break
        found.update(data)
        left -= len(data)
    return size - left, found.hexdigest()


def _check_ranges(system: FileSystem, node: Node) -> None:
    """All that is said to be a hole reads as zeros."""
    file, at = system.open(node), 0
    for begin, end in [*system.ranges(node), (node.size, node.size)]:
        assert at <= begin <= end <= node.size
        file.seek(at)
        assert not any(file.read(min(begin - at, MIB)))
        at = end
