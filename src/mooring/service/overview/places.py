"""Servers, regions with their vaults, and the room on file systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.totals import RegionTotals
from mooring.catalog.transaction import Transaction
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.host.room import device_at
from mooring.host.rooms import of_vault
from mooring.model.forecast import Sample, seconds_until_full
from mooring.model.resources.host import SeenHost
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import SeenServer
from mooring.vault.region_vaults import RegionVaults
from mooring.version import VERSION

Told = dict[str, Any]


def servers_told(backend: Backend, transaction: Transaction) -> list[Told]:
    """The servers of the catalog; the one that answers first."""
    this = backend.this_server
    found = [_server(one) for one in transaction.servers.all(backend.clock.now_ms())]
    others = [one for one in found if one["id"] != this.id]
    name, host = this.name or this.id, this.host or None
    own = {"id": this.id, "name": name, "host": host, "version": this.version or VERSION}
    return [{**own, "state": "runs", "silentSeconds": 0.0}, *others]


def hosts_told(backend: Backend, transaction: Transaction) -> list[Told]:
    """The hosts that disks are on, by name; none where there is but one."""
    found = transaction.hosts.all(backend.clock.now_ms())
    return [_host(transaction, one) for one in found] if len(found) > 1 else []


def regions_told(
    backend: Backend, totals: Mapping[str, RegionTotals], runs: Iterable[VaultRun]
) -> list[Told]:
    """What each region has, how its vault is, and when that was verified and copied last."""
    known = {(run.region, run.kind): run for run in runs}
    return [
        {
            **_region(backend, region, totals.get(region, RegionTotals())),
            "verified": verified_told(known.get((region, JobKind.VERIFY_VAULT))),
            "hasCopy": region in backend.replicas,
            "copied": _copied(known.get((region, JobKind.REPLICATE_VAULT))),
        }
        for region in backend.regions
    ]


def verified_told(run: VaultRun | None) -> Told | None:
    """How the last verification of a vault ended; `percent` of the data was read, and all maps."""
    if run is None:
        return None
    return {"at": run.ended_ms / 1000, "percent": run.percent, "damagedSnapshots": run.problems}


def _copied(run: VaultRun | None) -> Told | None:
    """When the copy of a vault was last brought up to date, and how many snapshots it lacks."""
    return None if run is None else {"at": run.ended_ms / 1000, "lackingSnapshots": run.problems}


def room_told(backend: Backend, samples: Mapping[str, Sequence[Sample]]) -> list[Told]:
    """The room for each use, and when it is gone if it goes on like this; what is away has none.

    Uses that are on the same file system have the same `device`.
    """
    found: list[Told] = [
        {
            "use": use,
            "freeBytes": room.free,
            "sizeBytes": room.size,
            "secondsUntilFull": seconds_until_full(samples.get(use, ()), room.free),
            "short": room.is_short,
            "away": False,
            "device": device_at(room.path),
        }
        for use, room in backend.rooms.look()
    ]
    found += [
        {
            "use": use,
            "freeBytes": None,
            "sizeBytes": None,
            "secondsUntilFull": None,
            "short": False,
            "away": True,
            "device": None,
        }
        for use in backend.rooms.away()
    ]
    return found


def vault_problem(backend: Backend, region: str) -> str | None:
    """Why the region's vault cannot be written to; None if it can."""
    vaults = backend.vaults
    return vaults.problem(region, writes=True) if isinstance(vaults, RegionVaults) else None


def _region(backend: Backend, region: str, totals: RegionTotals) -> Told:
    oldest = totals.oldest_pending_ms
    return {
        "name": region,
        "zones": list(backend.regions[region]),
        "disks": totals.disks,
        "disksGb": totals.disks_gb,
        "instances": totals.instances,
        "snapshots": totals.snapshots,
        "pendingSnapshots": totals.pending,
        "oldestPendingAt": None if oldest is None else oldest / 1000,
        "vaultProblem": vault_problem(backend, region),
        "vaultUse": of_vault(region),
    }


def _host(transaction: Transaction, seen: SeenHost) -> Told:
    return {
        "id": seen.host.id,
        "name": seen.host.name,
        "zones": list(seen.host.zones),
        "state": seen.shown,
        "problem": seen.problem,
        "disks": transaction.hosts.count_disks(seen.host.id),
        "instances": transaction.hosts.count_instances(seen.host.id),
        "freeBytes": seen.free_bytes,
        "sizeBytes": seen.capacity_bytes,
        "silentSeconds": max(0, seen.silent_ms) / 1000,
    }


def _server(seen: SeenServer) -> Told:
    state = "runs"
    if seen.ended:
        state = "ended"
    elif seen.is_silent:
        state = "silent"
    return {
        "id": seen.server.id,
        "name": seen.server.name,
        "host": seen.server.host,
        "version": seen.server.version,
        "state": state,
        "silentSeconds": max(0, seen.silent_ms) / 1000,
    }
