"""How storage daemons are run and told to do I/O."""

from __future__ import annotations

from dataclasses import dataclass


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
    fill_bytes_per_second: int = 0
    """Limit of the speed at which a new disk is filled; 0 for none."""
