"""Writes a file that nobody else may read, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mooring.model.errors import NO_ROOM, DiskFullError
from mooring.model.paths import Paths


def write_private(path: Path, text: str) -> None:
    """Write the file durably, in place of one that is there.

    Raises DiskFullError if there is no room; then the file is as it was. Also raises OSError.
    """
    # Only here: whoever reads such files with the client alone is without what this needs.
    from mooring.host.reserve import Reserve

    try:
        # In the data directory the reserve lies beside it.
        Reserve(Paths(path.parent).reserve).write_whole(path, text)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFullError(
                f"there is no space to write {path}, which was left as it is: free some space on "
                "its file system, then try again"
            ) from error
        raise
