"""How everything is, in one answer of bounded length."""

from __future__ import annotations

from typing import Any

from mooring.backend.backend import Backend
from mooring.service.overview.freshness import automatic_told
from mooring.service.overview.going import failures_told, jobs_told
from mooring.service.overview.places import hosts_told, regions_told, room_told, servers_told
from mooring.service.overview.troubles import troubles_told

FRESHNESS_SHOWN = 20
"""Disks and instances of which the newest automatic snapshot is shown, late ones first."""


def overview(backend: Backend) -> dict[str, Any]:
    """Troubles, servers, hosts, regions, room, the newest snapshots, what runs and what failed.

    Times are seconds since 1970, sizes bytes unless their names say otherwise.
    """
    with backend.catalog.read() as transaction:
        servers = servers_told(backend, transaction)
        hosts = hosts_told(backend, transaction)
        automatic = automatic_told(backend, transaction, FRESHNESS_SHOWN)
        jobs = jobs_told(backend, transaction)
        failed = failures_told(backend, transaction)
        totals = transaction.totals.by_region()
        troubles = troubles_told(transaction)
        runs = transaction.vault_runs.all()
        samples = transaction.room_samples.of(backend.this_server.id)
    return {
        "at": backend.clock.now_ms() / 1000,
        "servers": servers,
        "hosts": hosts,
        "troubles": troubles,
        # Vaults are looked at without a transaction: a mount that hangs takes its time.
        "regions": regions_told(backend, totals, runs),
        "room": room_told(backend, samples),
        "automatic": automatic,
        "jobs": jobs,
        "failed": failed,
    }
