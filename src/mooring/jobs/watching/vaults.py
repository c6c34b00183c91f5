"""Checks whether all regions' vaults are there and hold what the catalog says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.watching.root_looks import RootLook
from mooring.jobs.roots import Comparison, compare, record
from mooring.model.errors import MooringError
from mooring.observe import metrics
from mooring.vault.region_vaults import RegionVaults

if TYPE_CHECKING:
    from mooring.vault.vault import Vault

AGAIN_SECONDS = 60.0
"""How often a vault is asked for the roots that somebody has given up."""

LEADS_MS = 60_000
"""For how long a server compares a vault for all that share a catalog, after its last look."""

log = structlog.get_logger("mooring.jobs")


class VaultWatch:
    """Looks when it is told to; tells the log of what has changed only.

    Of servers that share a catalog, one of those that reach a vault compares it; the others go by
    what that one has found.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._told: dict[str, str | None] = {}
        self._well: dict[str, Vault] = {}
        self._asked: dict[str, float] = {}

    def look(self) -> None:
        """Look at all vaults; compare those that are new here, back, or were not in order."""
        vaults = self._backend.vaults
        if not isinstance(vaults, RegionVaults):
            return
        for region in vaults:
            problem = vaults.problem(region)
            if problem is not None:
                self._well.pop(region, None)
                self._tell(region, problem)
                continue
            try:
                if self._is_seen_to(region):
                    continue
                # Another one may have been put there and accepted between two looks.
                if self._well.get(region) is not vaults[region] or self._some_are_back(region):
                    self.compare(region)
                else:
                    self._tell(region, vaults.problem(region, writes=True))
            except MooringError as error:
                self._tell(region, str(error))

    def _is_seen_to(self, region: str) -> bool:
        """Whether another server compares the vault, by whose word this one goes.

        Where that one has not said anything yet, about this very vault, this one looks itself.
        Raises VaultError.
        """
        catalog, now = self._backend.catalog, self._backend.clock.now_ms()
        if not catalog.is_for_many:
            return False
        vault, this = self._backend.vaults[region], self._backend.this_server.id
        with catalog.write(durable=False) as transaction:
            if transaction.leads.take(f"roots {region}", this, LEADS_MS, now):
                if self._well.get(region) is vault:
                    transaction.root_looks.touch(region, now)
                return False
            found = transaction.root_looks.find(region, LEADS_MS, now)
        if found is None or found.vault_id != vault.id:
            return self._well.get(region) is vault
        vault.close_for_writing(found.closed)
        metrics.roots_compared(region, found.missing, found.unknown)
        self._tell(region, found.closed or self._problem(region))
        return True

    def _problem(self, region: str) -> str | None:
        vaults = self._backend.vaults
        assert isinstance(vaults, RegionVaults)
        return vaults.problem(region, writes=True)

    def _some_are_back(self, region: str) -> bool:
        """Whether a snapshot that was given up has its root again. Raises VaultError."""
        now = self._backend.clock.monotonic()
        if now < self._asked.get(region, now):
            return False
        self._asked[region] = now + AGAIN_SECONDS
        with self._backend.catalog.read() as transaction:
            lost = transaction.snapshots.lost_ids(region)
        return bool(lost) and not lost.isdisjoint(self._backend.vaults[region].snapshot_ids())

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
        self._share(region, RootLook(vault.id, why, len(found.missing), len(found.unknown)))
        metrics.roots_compared(region, len(found.missing), len(found.unknown))
        self._tell(region, why)
        for one in found.returned:
            log.info("a snapshot has its root again", snapshot=one.id, region=region)
        if found.unknown and self._told.get(f"strangers {region}") != str(found.unknown):
            self._told[f"strangers {region}"] = str(found.unknown)
            log.warning("catalog and vault differ", region=region, problem=found.strangers(region))
        if found.missing:
            self._well.pop(region, None)
            told = found.told(region)
            if self._told.get(f"roots {region}") != str(told):
                for line in told[:20]:
                    log.error("catalog and vault differ", region=region, problem=line)
                self._told[f"roots {region}"] = str(told)
        else:
            self._told.pop(f"roots {region}", None)
            self._well[region] = vault
        return found

    def _share(self, region: str, look: RootLook) -> None:
        if self._backend.catalog.is_for_many:
            with self._backend.catalog.write(durable=False) as transaction:
                transaction.root_looks.put(region, look, self._backend.clock.now_ms())

    def _tell(self, region: str, problem: str | None) -> None:
        metrics.vault_there(region, problem is None)
        if self._told.get(region) == problem:
            return
        self._told[region] = problem
        if problem is None:
            log.info("the vault is back, and everything continues", region=region)
        else:
            log.error("the vault cannot be fully used", region=region, problem=problem)
