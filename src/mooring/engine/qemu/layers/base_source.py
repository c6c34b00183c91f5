"""Where a base that is not filled yet is read from: its file `base.source`."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.errors import LayerDamagedError

SOURCE_NAME = "base.source"
REACHED_NAME = "base.reached"
WRITING_REACHED = "base.reached.writing"
"""Where that is written: whoever has the lock of the disk removes leftovers meanwhile."""


@dataclass(frozen=True, slots=True)
class BaseSource:
    """An NBD server's Unix socket, the export there, and its size in bytes."""

    socket: str
    export: str
    size: int


def write_source(store: LayerStore, folder: Path, source: BaseSource) -> None:
    """Write down the source durably. Raises OSError."""
    store.write_text(folder / SOURCE_NAME, json.dumps(asdict(source)))


def read_source(store: LayerStore, folder: Path) -> BaseSource | None:
    """The source written down, None if there is none. Raises LayerDamagedError."""
    path = folder / SOURCE_NAME
    try:
        fields = json.loads(store.read_text(path))
        return BaseSource(fields["socket"], fields["export"], fields["size"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LayerDamagedError(f"{path} is damaged: {error}") from error


def forget_source(store: LayerStore, folder: Path) -> None:
    """Take away what was written down."""
    store.remove(folder / SOURCE_NAME)
    store.remove(folder / REACHED_NAME)
    store.remove(folder / WRITING_REACHED)


def write_reached(store: LayerStore, folder: Path, position: int) -> None:
    """Note up to where the base is filled, durably; the note itself may be lost in a crash."""
    writing = folder / WRITING_REACHED
    store.write_text(folder / REACHED_NAME, str(position), durable=False, writing=writing)


def read_reached(store: LayerStore, folder: Path) -> int:
    """Up to where the base is filled for certain."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(store.read_text(folder / REACHED_NAME))
    return 0
