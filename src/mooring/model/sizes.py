"""The rules of disk sizes and what follows from a size."""

from __future__ import annotations

from mooring.model.errors import InvalidInputException
from mooring.model.extents import GIB

MIN_DISK_GB = 8
MAX_DISK_GB = 16384


def check_disk_size(size_gb: int) -> int:
    """Return the size, or raise InvalidInputException with the real service's words."""
    if not MIN_DISK_GB <= size_gb <= MAX_DISK_GB:
        raise InvalidInputException(
            f"The size of a block storage disk must be between {MIN_DISK_GB} and {MAX_DISK_GB} GB."
        )
    return size_gb


def size_in_bytes(size_gb: int) -> int:
    """A disk's GB are GiB, as on the real service."""
    return size_gb * GIB


def iops(size_gb: int) -> int:
    """The I/O rate that the service states for a size: 3 per GB, at least 100."""
    return max(100, 3 * size_gb)
