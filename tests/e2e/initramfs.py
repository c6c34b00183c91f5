"""The first file system of a guest: busybox, kernel modules, programs of this host."""

from __future__ import annotations

import gzip
import lzma
import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

_TRAILER = "TRAILER!!!"
_LIBRARY = re.compile(r"(/\S+) \(0x")


class Initramfs:
    """An archive in the format "newc" of cpio, as the kernel takes it (buffer-format.rst)."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes]] = {}

    def folder(self, path: str) -> None:
        """Add a folder, and those above it."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            self._entries.setdefault("/".join(parts[:depth]), (stat.S_IFDIR | 0o755, b""))

    def file(self, path: str, content: bytes, mode: int = 0o755) -> None:
        """Add a file."""
        name = path.strip("/")
        if "/" in name:
            self.folder(name.rpartition("/")[0])
        self._entries[name] = (stat.S_IFREG | mode, content)

    def program(self, source: Path, path: str) -> None:
        """Add a program of this host, with the shared libraries that it needs."""
        self.file(path, source.read_bytes())
        found = subprocess.run(["ldd", str(source)], capture_output=True, text=True, check=False)
        for library in _LIBRARY.findall(found.stdout):
            self.file(library, Path(library).read_bytes())

    def write(self, path: Path) -> None:
        """Write the archive, compressed."""
        with gzip.open(path, "wb", compresslevel=1) as file:
            for number, (name, (mode, content)) in enumerate(self._entries.items(), 1):
                file.write(_entry(number, name, mode, content))
            file.write(_entry(0, _TRAILER, 0, b""))


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def modules(tree: Path, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
    """Kernel modules by name, after those on which they depend; what is built in is left out.

    They are looked for anywhere in `tree`: lib/modules, or usr/lib/modules since Debian 13.
    """
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in tree.rglob("*.ko*")}
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered or name not in files:
            return
        content = files[name].read_bytes()
        if files[name].suffix == ".xz":
            content = lzma.decompress(content)
        needed = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in needed[1].decode().split(",") if needed else ():
            add(other.replace("-", "_"))
        ordered[name] = content

    for name in wanted:
        add(name)
    return list(ordered.items())
