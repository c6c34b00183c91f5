"""Refuses what needs a region's vault while that is away."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.errors import OperationFailureException
from mooring.service.call import Params
from mooring.service.entry import AnyEntry, Use
from mooring.vault.region_vaults import RegionVaults


def check_vaults(backend: Backend, entry: AnyEntry, region: str, params: Params) -> None:
    """See that the vaults are there that the request needs. Raises OperationFailureException."""
    if entry.vault is None:
        return
    check_vault(backend, region, writes=entry.vault is Use.WRITE)
    # What is copied comes from there.
    source = params.get(entry.region) if entry.region else None
    if source not in (None, region):
        check_vault(backend, str(source), writes=False)


def check_vault(backend: Backend, region: str, *, writes: bool) -> None:
    """See that the region's vault is there. Raises OperationFailureException."""
    vaults = backend.vaults
    if not isinstance(vaults, RegionVaults) or region not in vaults:
        return
    problem = vaults.problem(region, writes=writes)
    if problem is not None:
        raise OperationFailureException(
            f"The region {region} has no vault right now for its snapshots: {problem}"
        )
