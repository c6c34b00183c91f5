"""Where a base that is not filled yet is read from: its file `base.source`."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mooring.files import write_whole
from mooring.model.errors import LayerDamagedError

SOURCE_NAME = "base.source"
REACHED_NAME = "base.reached"


@dataclass(frozen=True, slots=True)
class BaseSource:
    """An NBD server's Unix socket, the export there, and its size in bytes."""

    socket: str
    export: str
    size: int


def write_source(folder: Path, source: BaseSource) -> None:
    """Write down the source durably. Raises OSError."""
    write_whole(folder / SOURCE_NAME, json.dumps(asdict(source)))


def read_source(folder: Path) -> BaseSource | None:
    """The source written down, None if there is none. Raises LayerDamagedError."""
    path = folder / SOURCE_NAME
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return BaseSource(fields["socket"], fields["export"], fields["size"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LayerDamagedError(f"{path} is damaged: {error}") from error


def forget_source(folder: Path) -> None:
    """Take away what was written down."""
    (folder / SOURCE_NAME).unlink(missing_ok=True)
    (folder / REACHED_NAME).unlink(missing_ok=True)


def write_reached(folder: Path, position: int) -> None:
    """Note up to where the base is filled, durably; the note itself may be lost in a crash."""
    write_whole(folder / REACHED_NAME, str(position), durable=False)


def read_reached(folder: Path) -> int:
    """Up to where the base is filled for certain."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int((folder / REACHED_NAME).read_text(encoding="ascii"))
    return 0
