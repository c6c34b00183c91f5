"""Where troubles are seen: a function for each kind of thing that can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from mooring.backend.backend import Backend
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.host.room import device_at
from mooring.host.rooms import of_vault
from mooring.jobs.watching.waiting_jobs import waiting_for
from mooring.model.automatic.rhythm import MINUTE_MS
from mooring.model.counts import counted
from mooring.model.resources.job_kind import JobKind
from mooring.model.trouble import SOON_MS, Trouble, TroubleKind
from mooring.observe import alarms, loop, metrics
from mooring.vault.region_vaults import RegionVaults

Source = Callable[[], Iterable[Trouble]]

MOST = 1000
"""Troubles of one kind that are told one by one."""

REPLICA_GRACE_MS = 15 * MINUTE_MS
"""So much later than wanted a copy of a vault is late."""


def automatic(backend: Backend) -> Iterator[Trouble]:
    """Automatic snapshots that failed, or that are not there although they are wanted."""
    now = backend.clock.now_ms()
    with backend.catalog.read() as transaction:
        found = transaction.automatic_health(now, MOST)
    for one in found:
        if not one.is_told(now):
            continue
        failed = one.failing_ms is not None
        yield Trouble(
            kind=TroubleKind.SNAPSHOT_FAILED if failed else TroubleKind.SNAPSHOT_MISSED,
            text=f"{one.kind.lower()} {one.name} in {one.region}: {one.sentence(now)}",
            region=one.region,
            resource=one.name,
        )


def snapshots(backend: Backend) -> Iterator[Trouble]:
    """Snapshots that somebody asked for and that could not be stored, or whose roots are gone."""
    with backend.catalog.read() as transaction:
        failed = transaction.totals.failed_snapshots(MOST)
        missing = transaction.totals.missing_roots()
    for one in failed:
        of = f" of disk {one.disk}" if one.disk else ""
        yield Trouble(
            kind=TroubleKind.SNAPSHOT_FAILED,
            text=f"snapshot {one.name}{of} in {one.region} could not be stored; `mooring "
            f"get-operations-for-resource --resource-name {one.name}` says why. Take another, or "
            "delete it",
            region=one.region,
            # Not the disk's: automatic ones of it may fail besides.
            resource=f"snapshot {one.name}",
        )
    for region, count in missing.items():
        yield Trouble(
            kind=TroubleKind.SNAPSHOTS_LOST,
            text=f"{counted(count, 'snapshot')} of {region} {'is' if count == 1 else 'are'} not in "
            "the vault any more: put the roots back from a copy, or delete the snapshots; "
            "`mooringd verify` lists them",
            region=region,
        )


def vault_runs(backend: Backend, replicate_minutes: float, began: float = 0.0) -> Iterator[Trouble]:
    """Vaults that were found damaged, and copies of vaults that are late or not whole.

    `began`: when this server did, by the steady clock.
    """
    with backend.catalog.read() as transaction:
        runs = {(run.region, run.kind): run for run in transaction.vault_runs.all()}
    for region in backend.regions:
        if (run := runs.get((region, JobKind.VERIFY_VAULT))) is not None:
            metrics.verified(region, run.problems, run.ended_ms / 1000)
            if run.problems:
                yield Trouble(
                    kind=TroubleKind.VAULT_DAMAGED,
                    text=f"{counted(run.problems, 'snapshot')} in the vault of {region} "
                    f"{'is' if run.problems == 1 else 'are'} damaged: `mooringd verify` lists the "
                    "damage, and --mend mends it from a copy",
                    region=region,
                )
        if region not in backend.replicas:
            continue
        what = _copy_problem(
            backend, runs.get((region, JobKind.REPLICATE_VAULT)), region, replicate_minutes, began
        )
        if what is not None:
            yield Trouble(
                kind=TroubleKind.REPLICA_LATE,
                text=f"the copy of the vault of {region} {what}; the server's log says why",
                region=region,
            )


def _copy_problem(
    backend: Backend, run: VaultRun | None, region: str, minutes: float, began: float
) -> str | None:
    """What is wrong with the copy of a vault, by its last run; None if nothing is."""
    now, most = backend.clock.now_ms(), 2 * minutes * MINUTE_MS + REPLICA_GRACE_MS
    # A run that a clock left ahead which was set right since tells nothing about today.
    if run is not None and run.ended_ms <= now + most:
        metrics.replica_was(region, run.problems, run.ended_ms / 1000)
        if run.problems:
            return f"lacks {counted(run.problems, 'snapshot')} that could not be copied"
        if minutes and now - run.ended_ms > most:
            return f"was last brought up to date at {_moment(run.ended_ms)}"
    elif minutes and (backend.clock.monotonic() - began) * 1000 > most:
        metrics.replica_was(region, 0, 0)  # or no alarm would ever ring
        return "was not brought up to date since the server started"
    return None


def servers(backend: Backend) -> Iterator[Trouble]:
    """Servers of the catalog that are silent and have not ended in order."""
    if not backend.catalog.is_for_many:
        return
    with backend.catalog.read() as transaction:
        found = transaction.servers.all(backend.clock.now_ms())
        waiting = {one.server.id: waiting_for(transaction, one.server) for one in found}
    for one in found:
        if one.is_silent:
            yield Trouble(
                kind=TroubleKind.SERVER_SILENT,
                text=f"server {one.server.name} on {one.server.host} is not heard of: start it "
                f"again, or see what keeps it from the database{waiting[one.server.id]}",
                resource=one.server.name,
            )


def hosts(backend: Backend) -> Iterator[Trouble]:
    """Hosts of which nobody knows how their disks are, or that were fenced."""
    if not backend.catalog.is_for_many:
        return
    with backend.catalog.read() as transaction:
        for one in transaction.hosts.all(backend.clock.now_ms()):
            if one.problem is None:
                continue
            disks = transaction.hosts.count_disks(one.host.id)
            if disks + transaction.hosts.count_instances(one.host.id):
                yield Trouble(
                    kind=TroubleKind.HOST_SILENT,
                    text=f"{counted(disks, 'disk')} of {one.host.name}: {one.problem}",
                    resource=one.host.name,
                )


def vaults(backend: Backend) -> Iterator[Trouble]:
    """Vaults that this server cannot use as it should."""
    if not isinstance(backend.vaults, RegionVaults):
        return
    for region in backend.vaults:
        problem = backend.vaults.problem(region, writes=True)
        if problem is not None:
            yield Trouble(
                kind=TroubleKind.VAULT_AWAY,
                text=f"the vault of {region} cannot be used: {problem}",
                region=region,
            )


def zones(backend: Backend) -> Iterator[Trouble]:
    """Zones that this server cannot serve since its start."""
    for zone, problem in backend.away.items():
        yield Trouble(
            kind=TroubleKind.ZONE_AWAY,
            text=f"the zone {zone} is not served: {problem}",
            region=backend.region_of(zone, ""),
            resource=zone,
        )


def rooms(backend: Backend) -> Iterator[Trouble]:
    """File systems that are full, nearly so, or away; one that has several uses is told once."""
    regions = {of_vault(region): region for region in backend.regions}
    seen: set[int] = set()
    for use, room in backend.rooms.look():
        full = not backend.rooms.has_margin(room)
        if not full and not room.is_short:
            continue
        device = device_at(room.path)
        if device in seen:
            continue
        seen.add(device)
        state = "is full, and snapshots are refused" if full else "is nearly full"
        yield Trouble(
            kind=TroubleKind.SPACE_FULL if full else TroubleKind.SPACE_SHORT,
            text=f"the file system of the {use} {state}: {room}. Delete snapshots or disks, or "
            "free space there in another way",
            region=regions.get(use, ""),
            resource=use,
        )
    for use, problem in backend.rooms.away().items():
        yield Trouble(kind=TroubleKind.FILE_SYSTEM_AWAY, text=problem, resource=use)


def threads() -> Iterator[Trouble]:
    """Threads of this server that fail again and again, or have ended."""
    for state in loop.states():
        if state.problem:
            yield Trouble(
                kind=TroubleKind.THREAD_FAILS,
                text=f"{state.problem}; the server's log has the details",
                resource=state.name,
            )


def ends(backend: Backend) -> Iterator[Trouble]:
    """Certificates and keys that end soon, or have ended within as long."""
    now = backend.clock.now_ms()
    for kind, found in backend.ends().items():
        for name, end_ms in found.items():
            alarms.ends(kind, name, end_ms / 1000)
            # A key that ended long ago is meant to have ended.
            if end_ms - now >= SOON_MS or (kind is TroubleKind.KEY_ENDS and end_ms < now - SOON_MS):
                continue
            word = "ended" if end_ms <= now else "ends"
            what, way_out = "access key", "whoever still uses it needs another one"
            if kind is TroubleKind.CERTIFICATE_ENDS:
                what, way_out = "certificate", "renew it"
            yield Trouble(
                kind=kind,
                text=f"the {what} {name} {word} at {_moment(end_ms)}: {way_out}",
                resource=name,
            )


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
