"""mooringd export: write a snapshot into an image file, and compare it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from mooring.admin.amounts import amount
from mooring.admin.vaults import find_snapshot, opened
from mooring.config import Settings
from mooring.model.errors import ConfigurationError, StoreError
from mooring.model.extents import Image
from mooring.nbd.export import Export
from mooring.nbd.image_export import ImageExport
from mooring.nbd.server import NbdServer
from mooring.nbd.uri import NbdUri
from mooring.vault.root import Root
from mooring.vault.vault import Vault

THREADS = 8


def export(
    settings: Settings, *, snapshot: str, region: str | None, image_format: str, output: Path
) -> int:
    """Write the snapshot, named by name or id; the file has its name only when it is right.

    Raises ConfigurationError if there is no such snapshot, or the file is there already;
    StoreError if it cannot be written, or the snapshot cannot be read: then nothing is left.
    """
    _check_free(output)
    with opened(settings, region) as vaults:
        vault, root = find_snapshot(vaults, snapshot)
        part = _begin(output)
        try:
            asyncio.run(_write(vault, root, image_format, part))
            _finish(part, output)
        finally:
            part.unlink(missing_ok=True)
    print(
        f"{root.info.name} is in {output}: {image_format}, {amount(root.info.size)}, "
        f"{amount(output.stat().st_blocks * 512)} on disk, compared with the vault"
    )
    return 0


class OneSnapshot:
    """The exports of a server that has only this one."""

    def __init__(self, vault: Vault, snapshot_id: str, executor: Executor) -> None:
        self._vault = vault
        self._snapshot_id = snapshot_id
        self._executor = executor

    async def names(self) -> Sequence[tuple[str, str]]:
        return [(self._snapshot_id, "")]

    async def open(self, name: str) -> Export | None:
        """Open it for a connection; it stays readable when the snapshot is deleted meanwhile."""
        if name != self._snapshot_id:
            return None
        loop = asyncio.get_running_loop()
        reader = await loop.run_in_executor(self._executor, self._open)
        return ImageExport(reader, self._executor)

    def _open(self) -> Image:
        return self._vault.open(self._snapshot_id, claim=True)


async def _write(vault: Vault, root: Root, image_format: str, part: Path) -> None:
    """Let qemu-img read the snapshot from a server of ours, twice."""
    with (
        ThreadPoolExecutor(THREADS, "reads") as executor,
        tempfile.TemporaryDirectory(prefix="mooring-") as folder,
    ):
        socket = Path(folder) / "nbd.sock"
        server = NbdServer(OneSnapshot(vault, root.id, executor))
        await server.listen_unix(socket)
        try:
            uri = str(NbdUri(root.id, socket=str(socket)))
            await _qemu_img("convert", "-f", "raw", "-O", image_format, uri, str(part))
            await _qemu_img("compare", "-f", "raw", "-F", image_format, uri, str(part))
        finally:
            await server.close()


async def _qemu_img(command: str, *arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "qemu-img",
            command,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError:
        raise ConfigurationError(
            "qemu-img is missing, which writes images: apt-get install qemu-utils"
        ) from None
    try:
        said, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise StoreError(
            f"qemu-img {command} failed: {''.join(last) or process.returncode}; nothing was left"
        )


def _check_free(output: Path) -> None:
    if os.path.lexists(output):
        raise ConfigurationError(f"{output} exists and stays as it is: name another file")


def _begin(output: Path) -> Path:
    """An empty file beside the output, for this user alone."""
    try:
        fd, name = tempfile.mkstemp(".part", f".{output.name}.", output.absolute().parent)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
    os.close(fd)
    return Path(name)


def _finish(part: Path, output: Path) -> None:
    """Make the file durable, then give it its name, unless somebody has taken that meanwhile."""
    fd = os.open(part, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(part, output)
    except FileExistsError:
        _check_free(output)
        raise
    except OSError:
        # A file system without hard links.
        _check_free(output)
        part.rename(output)
