"""A folder that belongs to one server at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from mooring.model.errors import ConfigurationError

FOLDER_LOCK = "lock"


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raise ConfigurationError if somebody has it.

    It ends with this process: daemons that were started do not inherit it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / FOLDER_LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another server uses {folder}: stop it, or give this one its own folder"
            ) from error
        yield
