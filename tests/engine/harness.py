"""Engines with clients, so that one suite can test them all."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from mooring.engine.interface import Engine, Export, Source
from mooring.engine.memory import MemoryEngine
from mooring.engine.qemu.daemon.process import find
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE, Extent, Image
from mooring.nbd.blocking import BlockingNbdClient
from tests.engine.served_image import ServedImage

MIB = 1024 * 1024


class Client(Protocol):
    """A client of one attached disk."""

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def write_zeroes(self, offset: int, length: int) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Harness(Protocol):
    """An engine, and what is needed to use its disks."""

    engine: Engine

    def client(self, instance_id: str, export: Export) -> Client: ...

    def restart(self) -> None:
        """Replace the engine by a new one, as a restarted server does."""

    def source(self, image: Image, snapshot_id: str) -> Source:
        """Serve an image as the source of new disks."""
        ...

    def take_away(self, source: Source) -> None:
        """Serve it no more, so that whoever still reads from it fails."""


class MemoryClient:
    def __init__(self, engine: MemoryEngine, disk_id: str) -> None:
        self._engine, self._disk_id = engine, disk_id
        engine.connect(disk_id)

    def read(self, offset: int, length: int) -> bytes:
        return self._engine.read(self._disk_id, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        self._engine.write(self._disk_id, offset, data)

    def write_zeroes(self, offset: int, length: int) -> None:
        self._engine.zero(self._disk_id, offset, length)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._engine.disconnect(self._disk_id)


class MemoryHarness:
    def __init__(self) -> None:
        self.memory = MemoryEngine()
        self.engine: Engine = self.memory
        self.images: dict[str, SwitchedImage] = {}

    def client(self, instance_id: str, export: Export) -> Client:
        return MemoryClient(self.memory, export.disk_id)

    def restart(self) -> None:
        """The memory stands for the disks: there is nothing to do."""

    def source(self, image: Image, snapshot_id: str) -> Source:
        self.images[snapshot_id] = SwitchedImage(image)
        return Source(snapshot_id, image.size, "", lambda: self.images[snapshot_id])

    def take_away(self, source: Source) -> None:
        self.images[source.snapshot_id].off = True


class QemuHarness:
    def __init__(
        self,
        root: Path,
        run_dir: Path,
        settings: DaemonSettings | None = None,
        store: Callable[[], LayerStore] = lambda: DIRECTORY,
    ) -> None:
        self.root, self.run_dir = root, run_dir
        self.store = store
        self.elsewhere: set[str] = set()
        """Disks that are another host's."""
        self.settings = settings or DaemonSettings()
        self.qemu = self.open()
        self.engine: Engine = self.qemu
        self.clients: list[BlockingNbdClient] = []
        self.sources: list[ServedImage] = []

    def open(self) -> QemuEngine:
        return QemuEngine(
            self.root,
            self.run_dir,
            SystemClock(),
            self.settings,
            store=self.store(),
            is_ours=lambda disk_id: disk_id not in self.elsewhere,
        )

    def client(self, instance_id: str, export: Export) -> BlockingNbdClient:
        client = BlockingNbdClient(self.qemu.uri(instance_id, export.name))
        self.clients.append(client)
        return client

    def restart(self) -> None:
        self.qemu.close()
        self.engine = self.qemu = self.open()

    def source(self, image: Image, snapshot_id: str) -> Source:
        served = ServedImage(image, self.run_dir.parent / f"source-{len(self.sources)}.sock")
        self.sources.append(served)
        return Source(snapshot_id, image.size, served.uri, lambda: image)

    def take_away(self, source: Source) -> None:
        next(one for one in self.sources if one.uri == source.uri).pause()

    def folder(self, disk_id: str) -> Path:
        return self.root / "disks" / disk_id

    def layer_names(self, disk_id: str) -> list[str]:
        return sorted(path.name for path in self.folder(disk_id).iterdir())

    def daemon_pid(self, instance_id: str) -> int:
        process = find(self.run_dir / instance_id)
        assert process is not None
        process.close()
        return process.pid

    def has_daemon(self, instance_id: str) -> bool:
        process = find(self.run_dir / instance_id)
        if process is not None:
            process.close()
        return process is not None

    def kill_daemon(self, instance_id: str) -> None:
        """Kill the instance's daemon and wait until it is gone."""
        process = find(self.run_dir / instance_id)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(10)
        process.close()

    def close(self) -> None:
        for client in self.clients:
            with contextlib.suppress(Exception):
                client.close()
        self.qemu.close()
        end_daemons(self.run_dir)
        for source in self.sources:
            source.close()


def end_daemons(run_dir: Path) -> None:
    """Kill what runs in `run_dir`, so that no test leaves a process."""
    for folder in (path for path in run_dir.glob("*") if path.is_dir()):
        process = find(folder)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            process.close()


def new_id() -> str:
    return str(uuid.uuid4())


def attached(harness: Harness, size: int, name: str = "disk-1") -> tuple[str, Export]:
    """Make a disk, attach it to an instance; return the instance's id and the export."""
    export = Export(new_id(), name)
    instance_id = new_id()
    harness.engine.create(export.disk_id, size)
    harness.engine.attach(instance_id, export)
    return instance_id, export


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


def content(image: Image) -> bytes:
    """All bytes of an image, by its extents."""
    whole = bytearray(image.size)
    for extent in image.extents():
        if not extent.zero:
            whole[extent.offset : extent.end] = image.read(extent.offset, extent.length)
    return bytes(whole)


def check_extents(extents: list[Extent], size: int) -> None:
    """Raise unless the extents are ascending, apart, aligned and inside of the disk."""
    end = 0
    for extent in extents:
        assert extent.length > 0
        assert extent.offset >= end
        assert extent.offset % BLOCK_SIZE == extent.length % BLOCK_SIZE == 0
        end = extent.end
    assert end <= size


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until `check` is true, and fail if it does not get so."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


class BytesImage:
    """An image over bytes in memory, with the ranges given as its extents."""

    def __init__(self, whole: bytes, extents: list[Extent] | None = None) -> None:
        self._whole = whole
        self._extents = extents if extents is not None else [Extent(0, len(whole))]
        self.closed = False

    @property
    def size(self) -> int:
        return len(self._whole)

    def extents(self) -> Iterator[Extent]:
        yield from self._extents

    def read(self, offset: int, length: int) -> bytes:
        return self._whole[offset : offset + length]

    def close(self) -> None:
        self.closed = True


class SwitchedImage:
    """An image that can be read until it is switched off."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.off = False

    @property
    def size(self) -> int:
        return self._image.size

    def extents(self) -> Iterator[Extent]:
        return self._image.extents()

    def read(self, offset: int, length: int) -> bytes:
        assert not self.off, "read from a source that is not needed any more"
        return bytes(self._image.read(offset, length))

    def close(self) -> None:
        pass
