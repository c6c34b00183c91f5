"""Servers of one catalog whose data directories lie beside each other."""

from __future__ import annotations

import shutil
from pathlib import Path


def share_cluster_key(data: Path) -> None:
    """Give a server the cluster's key, as an operator would, if one beside it has it already."""
    found = next(data.parent.glob("*/cluster-key"), None)
    if found is not None and not (data / found.name).exists():
        data.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(found, data / found.name)
