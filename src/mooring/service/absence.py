"""Disks, instances and snapshots in places that the settings do not name."""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.backend.left_behind import left_behind
from mooring.model.absence import Absent, Away, absent
from mooring.observe import metrics
from mooring.service.call import Params, Result
from mooring.service.context import Context

log = structlog.get_logger("mooring.server")


def absences(backend: Backend) -> list[Absent]:
    """What the catalog holds where the settings have nothing.

    Of what is on other hosts, those tell.
    """
    disks: list[tuple[str, str, str]] = []
    instances: dict[tuple[str, str], int] = {}
    named = backend.engines.keys() | backend.away.keys()
    with backend.catalog.read() as transaction:
        places = transaction.places
        for zone in places.zones() - named:
            # What is on no host yet is made by one of those that have the zone.
            hosts = {backend.host} if zone in backend.elsewhere else {"", backend.host}
            disks += [(region, zone, name) for region, name in places.disks_in(zone, hosts)]
            for region, count in places.instances_in(zone, hosts).items():
                instances[region, zone] = count
        regions = [one for one in places.regions_of_snapshots() if one not in backend.regions]
        snapshots = {region: places.snapshots_of(region) for region in regions}
    here = {
        region: [zone for zone in zones if zone in named]
        for region, zones in backend.regions.items()
    }
    return absent(here, disks, instances, snapshots)


def away(backend: Backend) -> list[Away]:
    """The zones of this server that are away."""
    found = []
    for zone, problem in sorted(backend.away.items()):
        with backend.catalog.read() as transaction:
            disks = len(transaction.places.disks_in(zone, {"", backend.host}))
        found.append(Away(zone, disks, problem))
    return found


def tell_absent(backend: Backend) -> None:
    """At the start: say in the log and in metrics what is not served."""
    disks: dict[str, int] = {}
    for one in absences(backend):
        log.error("a place is not in the settings", region=one.region, why=str(one))
        if one.zone is not None:
            disks[one.zone] = disks.get(one.zone, 0) + len(one.disks)
    for zone, count in disks.items():
        metrics.not_served(zone, count)
    for away_now in away(backend):
        log.error("a zone is away", zone=away_now.zone, why=str(away_now))
        metrics.zone_there(away_now.zone, there=False)


def absent_places(backend: Backend, context: Context, params: Params) -> Result:
    """What the server has that it does not serve: a sentence for each.

    Zones that are away, places that its settings do not name, and what lies here of disks that
    were moved.
    """
    del context, params
    found = [*away(backend), *absences(backend), *left_behind(backend)]
    return {"absent": list(map(str, found))}
