"""mooringd export: write a snapshot into an image file, and compare it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from mooring.admin.vaults.chosen import find_snapshot, opened
from mooring.config.settings import Settings
from mooring.images.image_file import ImagePart, check_free, format_of
from mooring.images.qemu_img import convert
from mooring.images.raw_copy import copy
from mooring.model.amounts import amount
from mooring.model.extents import Image
from mooring.nbd.export import Export
from mooring.nbd.image_export import ImageExport
from mooring.nbd.server import NbdServer
from mooring.nbd.uri import NbdUri
from mooring.streams import one_line
from mooring.vault.vault import Root, Vault

THREADS = 8


def export(
    settings: Settings, *, snapshot: str, region: str | None, image_format: str | None, output: Path
) -> int:
    """Write the snapshot, named by name or id; the file has its name only when it is right.

    Without a format, that of the file's name.

    Raises ConfigurationError if there is no such snapshot, or the file is there already;
    StoreError if it cannot be written, or the snapshot cannot be read: then nothing is left.
    """
    image_format = image_format or format_of(output)
    check_free(output)
    with opened(settings, region) as vaults:
        vault, root = find_snapshot(vaults, snapshot)
        with ImagePart(output) as part:
            try:
                part.begin()
                if image_format == "raw":
                    with vault.open(root.id, claim=True) as reader:
                        copy(reader, part, {})
                else:
                    asyncio.run(_convert(vault, root, image_format, part.path))
                part.finish()
            finally:
                part.discard()
    print(
        f"{one_line(root.info.name)} is in {output}: {image_format}, {amount(root.info.size)}, "
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


async def _convert(vault: Vault, root: Root, image_format: str, part: Path) -> None:
    """Let qemu-img read the snapshot from a server of ours, twice."""
    with (
        ThreadPoolExecutor(THREADS, "reads") as executor,
        tempfile.TemporaryDirectory(prefix="mooring-") as folder,
    ):
        socket = Path(folder) / "nbd.sock"
        server = NbdServer(OneSnapshot(vault, root.id, executor))
        await server.listen_unix(socket)
        try:
            await convert(str(NbdUri(root.id, socket=str(socket))), image_format, part)
        finally:
            await server.close()
