"""Snapshots as what new layers of disks are read from."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.engine.interface import Source


def source_of(backend: Backend, region: str, snapshot_id: str) -> Source:
    """A completed snapshot as the source of a disk. Raises VaultError."""
    vault = backend.vaults[region]
    return Source(
        snapshot_id=snapshot_id,
        size=vault.root(snapshot_id).info.size,
        uri=backend.server(region).uri(snapshot_id),
        open=lambda: vault.open(snapshot_id),
    )
