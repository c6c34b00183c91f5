"""Writes a file that nobody else may read, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from mooring.model.errors import NO_ROOM, DiskFullError


def write_private(path: Path, text: str) -> None:
    """Write the file durably, in place of one that is there.

    Raises DiskFullError if there is no room; then the file is as it was. Also raises OSError.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in NO_ROOM:
            raise DiskFullError(
                f"there is no room to write {path}, which stays as it is: make room on its file "
                "system, then try again"
            ) from error
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
