"""What a starting server makes of what an earlier one left.

1. Leases of the earlier server are void: every job can be taken.
2. A snapshot that was recorded but not confirmed: if the engine has its frozen point, or those
   of all parts of an instance's, they hold all that was written before the request, so it is
   confirmed; else, and if users of a disk had to be at rest, the request is taken back.
   Its client had no answer either way, and asks again or looks.
3. A disk that was being detached with no job to do it is attached still.
4. The snapshots that disks still read from are served; then the engines adopt the storage
   daemons that went on, and start those that are missing; and so with the block devices of
   this host.
5. Frozen points that no pending snapshot needs are released.

Repeating any of it changes nothing.
"""

from __future__ import annotations

import structlog

from mooring.engine.interface import Export
from mooring.jobs import fill_disk
from mooring.jobs.running.procedure import Tools
from mooring.model.blueprints import HOST
from mooring.model.errors import EngineError, VaultError
from mooring.model.resources.consistency import Wish, wish_of
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState

log = structlog.get_logger("mooring.jobs")


def recover(tools: Tools) -> None:
    """Bring catalog and engines together again, before any request or job."""
    with tools.catalog.write() as transaction:
        transaction.jobs.release_all()
        disks = transaction.disks.all()
        instances = [
            instance
            for instance in transaction.instances.all()
            if instance.state in (InstanceState.RUNNING, InstanceState.STOPPING)
        ]
    running = [instance.id for instance in instances]
    fill_disk.resume(tools)
    for zone, engine in tools.engines.items():
        engine.adopt(_wanted(disks, zone, running))
    _adopt_devices(tools, disks, [one.id for one in instances if one.blueprint_id == HOST])
    with tools.catalog.read() as transaction:
        pending = transaction.snapshots.in_state(SnapshotState.PENDING)
    unconfirmed: dict[str, list[DiskSnapshot]] = {}
    for snapshot in pending:
        if not snapshot.frozen:
            unconfirmed.setdefault(snapshot.part_of or snapshot.id, []).append(snapshot)
    for whole_id, parts in unconfirmed.items():
        with tools.catalog.read() as transaction:
            whole = transaction.snapshot(whole_id)
        # An automatic one is not the request of a client that waited: its job goes on.
        if whole is not None and whole.auto is None:
            _confirm(tools, whole, parts)
    for disk in disks:
        served = disk.zone in tools.engines and disk.region in tools.vaults
        if served and disk.state in (DiskState.AVAILABLE, DiskState.IN_USE):
            _release(tools, disk)


def _wanted(disks: list[Disk], zone: str, running: list[str]) -> dict[str, list[Export]]:
    served = (Attachment.ATTACHED, Attachment.DETACHING)
    wanted: dict[str, list[Export]] = {instance_id: [] for instance_id in running}
    for disk in disks:
        if disk.zone == zone and disk.attachment in served and disk.instance_id in wanted:
            wanted[disk.instance_id].append(Export(disk.id, disk.name))
    return {instance_id: exports for instance_id, exports in wanted.items() if exports}


def _adopt_devices(tools: Tools, disks: list[Disk], hosts: list[str]) -> None:
    """Bring the block devices of this host and the disks that are attached to it together."""
    uris = {}
    for zone, engine in tools.engines.items():
        for instance_id, exports in _wanted(disks, zone, hosts).items():
            for export in exports:
                uris[export.disk_id] = engine.uri(instance_id, export.name)
    for disk_id, problem in tools.devices.adopt(uris).items():
        log.warning("a block device is not as it should be", disk=disk_id, why=problem)


def _confirm(tools: Tools, whole: Snapshot, parts: list[DiskSnapshot]) -> None:
    """Confirm a disk's snapshot, or all parts of an instance's: only all together are right."""
    if any(one.disk_zone not in tools.engines for one in parts):
        return  # nobody can say; the next start with the zone in the settings will
    frozen = all(one.id in _points(tools, one.disk_id, one.disk_zone) for one in parts)
    with tools.catalog.write() as transaction:
        disks = [transaction.disks.by_id(one.disk_id) for one in parts]
        # Nobody knows any more whether the disks' users were at rest.
        doubtful = any(disk and wish_of(disk.tags) is Wish.REQUIRE for disk in disks)
        if frozen and not doubtful:
            for one in parts:
                transaction.snapshots.change(one.id, frozen=True)
            log.info("confirmed a snapshot that was being taken", snapshot=whole.id)
            transaction.jobs.confirm(whole.id)
        else:
            log.info("took back a snapshot that was not frozen", snapshot=whole.id)
            transaction.take_back(whole)


def _release(tools: Tools, disk: Disk) -> None:
    for point in _points(tools, disk.id, disk.zone):
        with tools.catalog.read() as transaction:
            snapshot = transaction.snapshots.by_id(point)
        if snapshot is not None and snapshot.state is SnapshotState.PENDING:
            continue
        # A clone's origin counts as stored while its root can still be a parent.
        try:
            vault = tools.vaults[disk.region]
            vault.check()
            stored = vault.has(point)
            tools.engines[disk.zone].release(disk.id, point, stored=stored)
        except (EngineError, VaultError) as error:
            log.warning("a frozen point could not be released", point=point, error=str(error))


def _points(tools: Tools, disk_id: str, zone: str) -> list[str]:
    try:
        return list(tools.engines[zone].points(disk_id))
    except EngineError as error:
        log.warning("a disk's points could not be read", disk=disk_id, error=str(error))
        return []
