"""Where layers lie: named things in folders, of which some are layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

from mooring.host.pace import Rests
from mooring.model.extents import Image

Reached = Callable[[int, bool], None]
"""Told up to where all is written, and whether that is durable."""


class LayerFile(Protocol):
    """A layer that is open. Offsets and lengths are bytes. Raises OSError, EngineError."""

    @property
    def path(self) -> Path:
        """Its name when it was opened."""
        ...

    def size(self) -> int:
        """How large it is."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """That much from there, less only at the end."""
        ...

    def read_parts(self, parts: Sequence[tuple[memoryview, int]]) -> None:
        """Fill each memory from the offset beside it.

        Raises LayerDamagedError if the layer ends before.
        """
        ...

    def seek(self, offset: int, whence: int) -> int:
        """Where the next data or hole begins, as `os.lseek` tells it; OSError likewise."""
        ...

    def will_need(self, offset: int, length: int) -> None:
        """The range will be read soon, in whatever order."""
        ...

    def was_read(self) -> None:
        """What was read of it will not be read again."""
        ...

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of the data there, which makes it larger if need be."""
        ...

    def overwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Replace a few bytes of what was written there before, durably, whoever has it open.

        Raises LayerDamagedError if nothing was.
        """
        ...

    def fill(
        self,
        source: Image,
        progress: Callable[[int], None],
        *,
        start: int = 0,
        reached: Reached = lambda position, durable: None,
    ) -> None:
        """Write what the source holds into a layer of zeros, as `images.fill` does it."""
        ...

    def resize(self, size: int) -> None:
        """Make it larger; the rest reads as zeros."""
        ...

    def sync(self) -> None:
        """Make what was written durable."""
        ...

    def has_name(self, path: Path) -> bool:
        """Whether it is this layer that has the name now."""
        ...

    def close(self) -> None:
        """Close it; further calls do nothing."""
        ...


class LayerStore(Protocol):
    """Holds folders of layers and of small texts, by paths that mean something only to it.

    Several names may lead to one layer, which goes with the last of them. See the conformance suite
    in tests/engine/stores for what each promises. Raises OSError, FileNotFoundError for names that
    are not there, and EngineError.
    """

    shared: bool
    """Whether other hosts reach the layers, too, and can have the disks as they are."""

    merges_here: bool
    """Whether this server may merge into a base itself, past the daemon that has it open."""

    def start(self, root: Path, run_dir: Path) -> tuple[Path, Path]:
        """Begin to use the store, whose processes have their sockets in `run_dir`.

        Returns the folder of all disks, and one for what this server alone puts together or
        removes. `root` is a folder of this host. Raises EngineError.
        """
        ...

    # --- names

    def names(self, folder: Path) -> list[str]:
        """What is in a folder, in any order; nothing if it is none."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether something has that name."""
        ...

    def links(self, path: Path) -> int:
        """How many names the layer has."""
        ...

    def taken(self, folder: Path) -> int | None:
        """Bytes that what is in a folder, and below, takes; None where that is not known."""
        ...

    def make_folder(self, folder: Path) -> None:
        """Make a folder, and those above it; one that is there is well."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with all that is in it; one that is not there is well."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or a folder another name, at one instant. `sync` makes it durable."""
        ...

    def link(self, path: Path, other: Path) -> None:
        """Give a layer another name besides. Raises EngineError if no layer can have two."""
        ...

    def clone(self, path: Path, other: Path) -> bool:
        """Make a layer with the same content, at once; False if that cannot be."""
        ...

    def remove(self, path: Path) -> None:
        """Take a name away; one that is not there is well."""
        ...

    def remove_later(self, path: Path) -> ExitStack:
        """The same, but what had it last goes when the result is closed, which may take long.

        Raises FileNotFoundError.
        """
        ...

    def sync(self, path: Path) -> None:
        """Make the names in a folder, or a layer and what was written to it, durable."""
        ...

    def sync_content(self, path: Path) -> None:
        """Make what was written to a layer durable. May take long."""
        ...

    # --- texts

    def read_text(self, path: Path) -> bytes:
        """A text, whole. Raises FileNotFoundError."""
        ...

    def write_text(
        self,
        path: Path,
        content: str | bytes,
        *,
        durable: bool = True,
        writing: Path | None = None,
    ) -> None:
        """Replace a text, whole or not at all; meanwhile the new one may be at `writing`."""
        ...

    # --- layers

    def create(self, path: Path, size: int) -> LayerFile:
        """Make a layer of zeros under that name, in place of one that has it."""
        ...

    def appearing(self, path: Path, room: int = 0) -> AbstractContextManager[LayerFile]:
        """A new layer, which gets its name, durably, at the end of the block.

        Nothing is left if the block raises. An overlay needs `room` for so much of the disk.
        """
        ...

    def open(self, path: Path, *, write: bool = False) -> LayerFile:
        """Open a layer. Raises FileNotFoundError."""
        ...

    def size(self, path: Path) -> int:
        """How large a layer is. Raises FileNotFoundError."""
        ...

    def allocated(self, path: Path) -> int:
        """How much room a layer takes; 0 if that cannot be said."""
        ...

    def copy(
        self, path: Path, target: LayerFile, tell: Callable[[int], None], rests: Rests
    ) -> None:
        """Make the empty `target` like the layer, giving way to others.

        `tell` is told of the bytes done so far, and ends the copying by raising.
        """
        ...

    def check_possible(self, folder: Path, size: int) -> None:
        """Raise OSError (EFBIG) if there can be no layer of that size."""
        ...

    # --- daemons, and others

    def node(self, path: Path, *, aio: str, direct: bool) -> dict[str, object]:
        """How a storage daemon opens a layer: the options of the node below its format's."""
        ...

    def writer(self, path: Path) -> str | None:
        """Who has the layer open for writing: the end of a sentence, None if nobody."""
        ...

    def in_use_by(self, path: Path) -> str:
        """Who keeps a daemon from opening the layer, to end a sentence with; may be empty."""
        ...

    # --- who uses a disk

    def begin_use(self, disk_id: str) -> None:
        """Before a daemon opens a disk's layers that none of this host has open.

        What an earlier daemon, which has ended, may still have under way is shut out. Raises
        EngineError if another host uses the disk.
        """
        ...

    def opening(self, path: Path) -> Collection[str]:
        """Who has a layer open that a daemon of this host is about to open; for `opened`."""
        ...

    def opened(self, disk_id: str, path: Path, besides: Collection[str] = ()) -> None:
        """A daemon of this host has opened a layer; it has not written yet.

        `besides` had it open before, for other disks: they stay when this disk's are shut out.
        Raises EngineError if the disk is not this host's any more.
        """
        ...

    def end_use(self, disk_id: str) -> None:
        """No daemon of this host has the disk open any more."""
        ...

    def let_go(self, kept: Collection[str]) -> None:
        """No daemon of this host has any other disk open than these, whatever was so before."""
        ...

    def owner(self, disk_id: str) -> str | None:
        """The name of the host that uses a disk; None if none does, or there is but one."""
        ...

    def fence(self, host: str) -> Sequence[str]:
        """Shut out a host that is lost, by its id or name: nothing that it still writes arrives.

        Returns the disks that it used, which another host may use then. May be done again. Raises
        EngineError.
        """
        ...

    def is_shut_out(self, host: str) -> bool:
        """Whether a host, by its id, was fenced and has not come back."""
        ...

    def was_fenced(self) -> bool:
        """Whether this host was fenced before it started, and has to end its daemons first."""
        ...

    def come_back(self) -> None:
        """Use the store again after that: the daemons have ended."""
        ...

    def watch(self, fenced: Callable[[], None]) -> None:
        """Have `fenced` called once this host is shut out, by a thread of the store's."""
        ...

    # --- room

    def check_room(self, folder: Path, margin: int) -> None:
        """Raise DiskFullError if less than the margin is free; 0 is no margin."""
        ...

    def settle(self, seconds: float = 30.0) -> bool:
        """Wait until what was removed is gone, as far as nobody has it; False if time ran out."""
        ...

    def close(self) -> None:
        """Close everything at the server's end; daemons go on."""
        ...
