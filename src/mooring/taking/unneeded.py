"""Releases frozen points that nobody needs."""

from __future__ import annotations

import contextlib

from mooring.engine.interface import Engine
from mooring.model.errors import MooringError


def release_unneeded(engine: Engine, disk_id: str, point: str) -> None:
    """Release a point that is not stored; what cannot be released now is at the next start."""
    with contextlib.suppress(MooringError):
        engine.release(disk_id, point, stored=False)
