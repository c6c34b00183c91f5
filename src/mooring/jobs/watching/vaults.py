"""Sees whether the vaults of all regions are there and hold what the catalog says."""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.jobs.roots import Comparison, compare, record
from mooring.model.errors import MooringError
from mooring.observe import metrics
from mooring.vault.region_vaults import RegionVaults

log = structlog.get_logger("mooring.jobs")


class VaultWatch:
    """Looks when it is told to; tells the log of what has changed only."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._told: dict[str, str | None] = {}
        self._well: set[str] = set()

    def look(self) -> None:
        """Look at all vaults; compare those that are new here, back, or were not in order."""
        vaults = self._backend.vaults
        if not isinstance(vaults, RegionVaults):
            return
        for region in vaults:
            problem = vaults.problem(region)
            if problem is not None:
                self._well.discard(region)
                self._tell(region, problem)
            elif region not in self._well:
                try:
                    self.compare(region)
                except MooringError as error:
                    self._tell(region, str(error))
            else:
                self._tell(region, vaults.problem(region, writes=True))

    def compare(self, region: str) -> Comparison:
        """Compare the region's roots with the catalog, and let it say what was found.

        Raises VaultError.
        """
        vault = self._backend.vaults[region]
        found = compare(self._backend.catalog, region, vault)
        if found.missing or found.returned:
            with self._backend.catalog.write() as transaction:
                record(transaction, found)
        why = found.why_closed(region) if found.older else None
        vault.close_for_writing(why)
        metrics.roots_compared(region, len(found.missing), len(found.unknown))
        self._tell(region, why)
        for one in found.returned:
            log.info("a snapshot has its root again", snapshot=one.id, region=region)
        if found.unknown and self._told.get(f"strangers {region}") != str(found.unknown):
            self._told[f"strangers {region}"] = str(found.unknown)
            log.warning("catalog and vault differ", region=region, problem=found.strangers(region))
        if found.missing:
            self._well.discard(region)
            told = found.told(region)
            if self._told.get(f"roots {region}") != str(told):
                for line in told[:20]:
                    log.error("catalog and vault differ", region=region, problem=line)
                self._told[f"roots {region}"] = str(told)
        else:
            self._told.pop(f"roots {region}", None)
            self._well.add(region)
        return found

    def _tell(self, region: str, problem: str | None) -> None:
        metrics.vault_there(region, problem is None)
        if self._told.get(region) == problem:
            return
        self._told[region] = problem
        if problem is None:
            log.info("the vault is there again, and all goes on", region=region)
        else:
            log.error("the vault cannot be used as it should be", region=region, problem=problem)
