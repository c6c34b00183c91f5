"""How storage daemons are run and told to do I/O."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, replace
from pathlib import Path

_IO_URING_SETUP = 425  # on every architecture but alpha
_RING_PARAMETERS_LENGTH = 120


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How daemons are run and told to do I/O."""

    program: str = "qemu-storage-daemon"
    direct: bool = True
    aio: str = "io_uring"
    answer_seconds: float = 30.0
    """A freeze on a slow disk may take seconds; a daemon silent for this long hangs."""
    start_seconds: float = 10.0
    merge_bytes_per_second: int = 0
    """Limit of a merge's speed; 0 for none."""
    most_layers: int = 64
    """Layers above which a disk is not frozen: each makes the next pause longer."""
    source_seconds: int = 5
    """How long a read waits for the source of a base that is not filled yet to come back."""
    margin_bytes: int = 0
    """What neither merges nor fillings take of the file system of the layers; 0 for nothing."""
    socket_group: int | None = None
    """The number of the group whose members may connect to disks, beside this user."""
    fill_bytes_per_second: int = 0
    """Limit of the speed at which a new disk is filled; 0 for none."""


def fitting(settings: DaemonSettings, root: Path) -> DaemonSettings:
    """Do without direct I/O where the file system refuses it, and without io_uring likewise."""
    if settings.direct:
        try:
            os.close(os.open(root / "lock", os.O_RDONLY | os.O_DIRECT))
        except OSError:
            settings = replace(settings, direct=False)
    if settings.aio == "io_uring" and not _io_uring_works():
        settings = replace(settings, aio="threads")
    return settings


def _io_uring_works() -> bool:
    """Whether the kernel lets this process make a ring: many container runtimes do not."""
    parameters = ctypes.create_string_buffer(_RING_PARAMETERS_LENGTH)
    ring: int = ctypes.CDLL(None).syscall(_IO_URING_SETUP, 1, parameters)
    if ring < 0:
        return False
    os.close(ring)
    return True
