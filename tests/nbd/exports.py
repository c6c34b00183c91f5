"""Contents to serve in tests, and a server around them."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.nbd.export import Export
from mooring.nbd.image_export import ImageExport
from mooring.nbd.server import NbdServer
from mooring.nbd.server_transmission import Limits


class SparseImage:
    """Random blocks here and there; strict about what it is asked for, as real images are."""

    def __init__(self, size: int, seed: int = 1, filled: float = 0.3) -> None:
        self._size = size
        self.closed = 0
        self.fail_at: int | None = None
        chance = random.Random(seed)
        self.content = bytearray(size)
        self.filled = []
        for offset in range(0, size, BLOCK_SIZE):
            if chance.random() < filled:
                self.content[offset : offset + BLOCK_SIZE] = chance.randbytes(BLOCK_SIZE)
                self.filled.append(offset)

    @property
    def size(self) -> int:
        return self._size

    def extents(self) -> Iterator[Extent]:
        for offset in self.filled:
            yield Extent(offset, BLOCK_SIZE)

    def read(self, offset: int, length: int) -> bytes:
        assert offset % BLOCK_SIZE == length % BLOCK_SIZE == 0
        assert 0 <= offset < offset + length <= self._size
        if self.fail_at is not None and offset <= self.fail_at < offset + length:
            raise OSError(5, "the medium is worn out")
        return bytes(self.content[offset : offset + length])

    def close(self) -> None:
        self.closed += 1


class ImageExports:
    """Exports of images by name."""

    def __init__(self, images: dict[str, SparseImage]) -> None:
        self.images = images
        self.executor = ThreadPoolExecutor(2)

    async def names(self) -> Sequence[tuple[str, str]]:
        return [(name, f"about {name}") for name in self.images]

    async def open(self, name: str) -> Export | None:
        image = self.images.get(name)
        return None if image is None else ImageExport(image, self.executor)


@asynccontextmanager
async def serving(
    path: Path,
    images: dict[str, SparseImage],
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[NbdServer]:
    """A server on a Unix socket at `path`."""
    exports = ImageExports(images)
    server = NbdServer(exports, limits=limits, tls=tls)
    await server.listen_unix(path)
    try:
        yield server
    finally:
        await server.close()
        exports.executor.shutdown()


async def run(*command: str) -> tuple[int, str, str]:
    """Run a command beside the server; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    # nbdinfo repeats what `file` finds in random bytes.
    return process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")
