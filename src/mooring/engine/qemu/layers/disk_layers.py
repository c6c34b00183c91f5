"""The layer files of one disk: docs/formats/layers.md as code."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.base_source import (
    BaseSource,
    forget_source,
    read_source,
    write_source,
)
from mooring.engine.qemu.layers.chain import check_chain
from mooring.engine.qemu.layers.layer import (
    BASE_NAME,
    BASE_NUMBER,
    FILLING_NAME,
    FORKED_NAME,
    SHARED_NAME,
    Layer,
    check_id,
    layer_folders,
    number_of,
    overlay_at,
    overlay_name,
    point_of_revert,
)
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerFile, LayerStore
from mooring.files import WRITING
from mooring.model.errors import (
    NO_ROOM,
    DiskFullError,
    DiskTooLargeError,
    EngineError,
    LayerDamagedError,
)


class DiskLayers:
    """The layers of one disk. Callers see to it that only one changes them at a time.

    `home` is the disk's folder, and `folder` where these layers are: there, or, since the disk
    was reverted, in a folder below.
    """

    def __init__(
        self,
        disks: Path,
        disk_id: str,
        folder: Path | None = None,
        *,
        store: LayerStore = DIRECTORY,
    ) -> None:
        """Without `folder` those that the disk has now."""
        check_id(disk_id)
        self.store = store
        self.disk_id = disk_id
        self.home = disks / disk_id
        self.folder = layer_folders(store, self.home)[-1] if folder is None else folder
        self._being_copied: set[str] = set()

    @property
    def reverted_at(self) -> str | None:
        """The point that the last revert left behind; None if there was none."""
        return point_of_revert(self.folder)

    @property
    def base(self) -> Layer:
        """The base, with its source if it is still being filled."""
        path, shared = self.folder / BASE_NAME, self.shared_folder / BASE_NAME
        there = self.store.exists(path)
        if not there and self.store.exists(shared):
            return Layer(BASE_NUMBER, "", shared, shared=True, store=self.store)
        source = None if there else read_source(self.store, self.folder)
        return Layer(BASE_NUMBER, "", path, source, store=self.store)

    @property
    def shared_folder(self) -> Path:
        """Where the layers are that a fork has not copied yet."""
        return self.folder / SHARED_NAME

    def shared(self) -> list[Layer]:
        """The layers shared with another disk that have no copy of this disk's own yet."""
        return [layer for layer in (self.base, *self.overlays()) if layer.shared]

    def fixed(self) -> int:
        """The number of the highest layer that another disk has, too, or had; -1 if none has.

        Nothing may be written to it, nor to those below.
        """
        found = [number_of(name) for name in self.store.names(self.shared_folder)]
        for layer in (self.base, *self.overlays()):
            with contextlib.suppress(FileNotFoundError):
                if self.store.links(layer.path) > 1:
                    found.append(layer.number)
        return max(found, default=-1)

    def forked_from(self) -> list[str]:
        """The disks whose layers are shared, the nearest first; empty if none are."""
        with contextlib.suppress(OSError):
            return self.store.read_text(self.shared_folder / FORKED_NAME).decode().split()
        return []

    def forget_shared(self) -> None:
        """Release shared layers, if the disk has its own copies of all."""
        if self.store.exists(self.shared_folder) and not self.shared():
            with io_errors(self.disk_id):
                self.store.remove_folder(self.shared_folder)
                self.store.sync(self.folder)

    def own_path(self, layer: Layer) -> Path:
        """Where the disk's own copy of a shared layer belongs."""
        return self.folder / layer.path.name

    @contextlib.contextmanager
    def own_copy(self, layer: Layer) -> Iterator[LayerFile]:
        """The file for a shared layer's copy: gets its name at the end of the block.

        Callers need not be alone: until then it is none of the leftovers that others remove.
        """
        path = self.own_path(layer)
        writing = path.name + WRITING
        self._being_copied.add(writing)
        try:
            with self.store.appearing(path, room=layer.size) as file:
                yield file
        finally:
            self._being_copied.discard(writing)

    def exist(self) -> bool:
        """Whether the disk has been made completely."""
        return bool(self.overlays())

    def size(self) -> int:
        """Bytes of the disk, which the newest overlay tells. Raises LayerDamagedError."""
        overlays = self.overlays()
        return qcow2.read_header(overlays[-1]).size if overlays else self._base_size()

    def _base_size(self) -> int:
        base = self.base
        path = base.path if base.source is None else self.folder / FILLING_NAME
        try:
            return self.store.size(path)
        except FileNotFoundError as error:
            raise LayerDamagedError(f"layer {path} is missing") from error

    def overlays(self) -> list[Layer]:
        """The overlays by their names, lowest first; empty if the disk does not exist."""
        found: dict[int, Layer] = {}
        # Its own copy of a layer counts before the one that it shares.
        for shared, folder in ((True, self.shared_folder), (False, self.folder)):
            for name in self.store.names(folder):
                if (layer := overlay_at(folder / name, self.store, shared=shared)) is not None:
                    found[layer.number] = layer
        return [found[number] for number in sorted(found)]

    def make_base(self, size: int) -> None:
        """Make the folder and a base of zeros, for a disk that does not exist yet."""
        with io_errors(self.disk_id):
            self.begin_base(size).close()
            self.finish_base()

    def begin_base(self, size: int) -> LayerFile:
        """Make the folder and an empty base that does not count yet; return its file."""
        with io_errors(self.disk_id):
            self.store.make_folder(self.folder)
            return self.store.create(self.folder / FILLING_NAME, size)

    def begin_lazy_base(self, size: int, source: BaseSource) -> None:
        """Make the folder and an empty base that is read from `source` until it is filled."""
        self.begin_base(size).close()
        with io_errors(self.disk_id):
            forget_source(self.store, self.folder)
            write_source(self.store, self.folder, source)

    def open_filling(self) -> LayerFile:
        """Open the base that is being filled. Raises LayerDamagedError."""
        path = self.folder / FILLING_NAME
        try:
            return self.store.open(path, write=True)
        except FileNotFoundError as error:
            raise LayerDamagedError(f"layer {path} is missing") from error

    def finish_base(self) -> None:
        """Make the base durable and give it its name; it has no source from then on."""
        filling = self.folder / FILLING_NAME
        with io_errors(self.disk_id):
            self.store.sync(filling)
            self.store.rename(filling, self.base.path)
            self.store.sync(self.folder)
            self.store.sync(self.folder.parent)
            forget_source(self.store, self.folder)

    def check_possible(self, size: int) -> None:
        """Raise DiskTooLargeError if the file system cannot hold a file of that size."""
        with io_errors(self.disk_id):
            self.store.check_possible(self.folder, size)

    def add_overlay(self, point_id: str, size: int | None = None, *, first: int = 1) -> Layer:
        """Put an empty overlay on top, durably, named after the point now below it.

        With `size` the disk is larger from then on. `first` is the number that the first one has.
        """
        check_id(point_id)
        overlays = self.overlays()
        below = overlays[-1] if overlays else self.base
        number = below.number + 1 if overlays else first
        path = self.folder / overlay_name(number, point_id)
        with io_errors(self.disk_id):
            known = self.size()
            with self.store.appearing(path, room=size or known) as file:
                content = size or known, below.path.name, self.disk_id, point_id
                qcow2.write_empty(file, *content, below=known)
        return Layer(number, point_id, path, store=self.store)

    def remove_top(self, layer: Layer) -> None:
        """Take away an overlay that was never used."""
        with io_errors(self.disk_id):
            self.store.remove(layer.path)
            self.store.sync(self.folder)

    def enlarge_base(self, size: int) -> None:
        """Let the base have the size of the layer above it; it is durable with its content."""
        with (
            io_errors(self.disk_id),
            contextlib.closing(self.store.open(self.base.path, write=True)) as base,
        ):
            base.resize(size)

    def sync(self, numbers: Container[int]) -> None:
        """Make the content of these layers durable. May take long, and needs no lock."""
        with io_errors(self.disk_id):
            for layer in [self.base, *self.overlays()]:
                if layer.number in numbers:
                    with contextlib.suppress(FileNotFoundError):
                        self.store.sync_content(layer.path)

    def relink(self, numbers: Container[int]) -> None:
        """Make the headers say that of all layers only these are left, durably.

        What the others held must be durable in them by then.
        """
        below = self.base
        with io_errors(self.disk_id):
            for layer in self.overlays():
                if layer.number in numbers:
                    # Of what another disk has, too, the header stays as it is.
                    if self.store.links(layer.path) == 1:
                        qcow2.lay_on(layer, below.path.name)
                    below = layer

    def remove(self, merged: Sequence[Layer]) -> contextlib.ExitStack:
        """Take away the files of layers on which none lies any more.

        Their space is freed when the result is closed, which may take long.
        """
        with contextlib.ExitStack() as files, io_errors(self.disk_id):
            for layer in merged:
                with contextlib.suppress(FileNotFoundError):
                    files.enter_context(self.store.remove_later(layer.path))
            return files.pop_all()

    def remove_leftovers(self) -> None:
        """Take away what a crash left half made, or merged but not removed."""
        with io_errors(self.disk_id):
            for name in self.store.names(self.folder):
                if name.endswith(WRITING) and name not in self._being_copied:
                    self.store.remove(self.folder / name)
            if self.base.source is None:
                self.store.remove(self.folder / FILLING_NAME)
                forget_source(self.store, self.folder)
            if self.exist():
                chain = self.check()
                for layer in self.overlays():
                    if layer not in chain:
                        self.store.remove(layer.path)

    def remove_all(self, trash: Path) -> None:
        """Remove the disk: at once from sight, then for good."""
        with io_errors(self.disk_id):
            doomed = trash / self.disk_id
            with contextlib.suppress(OSError):
                self.store.remove_folder(doomed)
            try:
                self.store.make_folder(trash)
                self.store.rename(self.home, doomed)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                self._remove_in_place()
                return
            self.store.sync(self.home.parent)
            self.store.remove_folder(doomed)

    def _remove_in_place(self) -> None:
        """Remove the disk where there is no room for a name elsewhere: what says it is, first."""
        for layer in reversed(self.overlays()):
            self.store.remove(layer.path)
        self.store.remove_folder(self.home)
        self.store.sync(self.home.parent)

    def check(self) -> list[Layer]:
        """Return base and overlays if they fit together, without what merges have left over.

        Raises LayerDamagedError, and EngineError if there is no such disk, or it cannot be read.
        """
        with io_errors(self.disk_id):
            overlays, base = self.overlays(), self.base
            if not overlays:
                if self.store.exists(base.path):
                    raise LayerDamagedError(f"disk {self.disk_id} has a base but no overlay on it")
                raise EngineError(f"disk {self.disk_id} does not exist")
            return check_chain(self.disk_id, base, overlays, self._base_size)

    def check_unused(self) -> None:
        """Refuse if a QEMU process that is not ours has the disk open for writing.

        It tells of a daemon that is running outside of this server's knowledge. Raises EngineError.
        """
        overlays = self.overlays()
        if overlays and (writer := self.store.writer(overlays[-1].path)) is not None:
            raise EngineError(
                f"disk {self.disk_id} is in use by a QEMU process that this server does not know"
                + writer
            )


@contextlib.contextmanager
def io_errors(disk_id: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFullError(
                f"no space for disk {disk_id} at {error.filename or 'its folder'}: free some space "
                "and try again"
            ) from error
        if error.errno == errno.EFBIG:
            raise DiskTooLargeError(
                "the disk's file system cannot hold a file of its size: make a smaller disk (on "
                "ext4 with blocks of 4 KiB at most 16383 GB), or keep the data directory on XFS, "
                f"for example (disk {disk_id})"
            ) from error
        raise EngineError(f"disk {disk_id}: {error}") from error
