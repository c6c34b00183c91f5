"""Snapshots as what new layers of disks are read from."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.engine.interface import Source
from mooring.model.errors import VaultAwayError


def source_of(backend: Backend, region: str, snapshot_id: str) -> Source:
    """A completed snapshot as the source of a disk. Raises VaultError."""
    if region not in backend.vaults:
        raise VaultAwayError(f"the region {region} is not in the settings")
    vault = backend.vaults[region]
    return Source(
        snapshot_id=snapshot_id,
        size=vault.root(snapshot_id).info.size,
        uri=backend.server(region).uri(snapshot_id),
        open=lambda: vault.open(snapshot_id),
    )
