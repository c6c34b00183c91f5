"""What holds live disks, presents them to this host and quiesces their users."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.catalog.database import CATALOG_ERRORS, Catalog
from mooring.config.settings import Settings
from mooring.engine.interface import Engine
from mooring.host.devices.interface import Devices
from mooring.host.group_access import group_id
from mooring.host.room import MIB
from mooring.model.clock import Clock
from mooring.model.paths import Paths
from mooring.model.resources.disk import is_shared
from mooring.model.resources.server import Server
from mooring.quiesce.interface import Quiescer
from mooring.taking.moving import is_of

if TYPE_CHECKING:
    from mooring.engine.qemu.stores.rbd.place import RbdPlace

# Each is imported where it is chosen: a server that keeps its disks in memory starts without the
# libraries of QEMU's.


def engine_maker(
    settings: Settings, paths: Paths, clock: Clock, catalog: Catalog, server: Server
) -> Callable[[str], Engine]:
    """What makes the engine of a zone, for this server.

    It raises ClusterAwayError while what the zone's disks lie in is away.
    """

    def may_share(disk_id: str) -> bool:
        with catalog.read() as transaction:
            disk = transaction.disks.by_id(disk_id)
        return disk is not None and is_shared(disk.tags)

    def is_ours(disk_id: str) -> bool:
        try:
            with catalog.read() as transaction:
                return is_of(transaction, disk_id, server.id)
        except CATALOG_ERRORS:
            return True  # as far as anybody knows

    if settings.engine.kind == "memory":
        from mooring.engine.memory import MemoryEngine

        return lambda zone: MemoryEngine(may_share)
    from mooring.engine.qemu.daemon.settings import DaemonSettings
    from mooring.engine.qemu.engine import QemuEngine

    daemons = DaemonSettings(
        fill_bytes_per_second=settings.engine.fill_mib_per_second * 1024 * 1024,
        merge_bytes_per_second=settings.engine.merge_mib_per_second * 1024 * 1024,
        answer_seconds=settings.engine.answer_seconds,
        margin_bytes=settings.room.margin_mib * MIB,
        socket_group=group_id(settings.engine.socket_group),
    )

    def make(zone: str) -> Engine:
        store = None
        if (place := ceph_place(settings, zone)) is not None:
            from mooring.engine.qemu.stores.rbd.presence import check_there
            from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore

            check_there(place)
            store = RbdStore(place, server.id, clock, server.name)
        folders = paths.engine(zone), paths.engine_run(zone)
        return QemuEngine(*folders, clock, daemons, may_share, store, is_ours)

    return make


def ceph_place(settings: Settings, zone: str) -> RbdPlace | None:
    """Where in a Ceph cluster the layers of a zone's disks lie; None if they are files."""
    from mooring.engine.qemu.stores.rbd.place import RbdPlace

    if (place := settings.ceph.get(zone)) is None:
        return None
    return RbdPlace(
        pool=place.pool,
        namespace=place.namespace,
        user=place.user,
        conf=place.conf,
        python=place.python,
        answer_seconds=settings.engine.answer_seconds,
    )


def devices(settings: Settings, paths: Paths, clock: Clock) -> Devices:
    """What makes block devices of disks."""
    if settings.engine.kind == "memory":
        from mooring.host.devices.memory_devices import MemoryDevices

        return MemoryDevices()
    from mooring.host.devices.fuse_devices import FuseDevices
    from mooring.nbd.blocking import exports_at

    return FuseDevices(paths.devices(), clock, exports_at)


def quiescer(settings: Settings, paths: Paths, clock: Clock) -> Quiescer:
    """What brings the users of disks to rest."""
    if settings.engine.kind == "memory":
        from mooring.quiesce.memory import MemoryQuiescer

        return MemoryQuiescer()
    from mooring.quiesce.process import CommandPair, Limits, ProcessQuiescer

    limits = Limits(
        settings.quiesce.freeze_seconds,
        settings.quiesce.hold_seconds,
        settings.quiesce.agent_directories,
    )
    commands = {
        name: CommandPair(one.freeze, one.thaw)
        for name, one in settings.instances.items()
        if one.freeze or one.thaw
    }
    spared = [paths.data, paths.run, Path("/"), Path(tempfile.gettempdir())]
    return ProcessQuiescer(paths.holds(), clock, limits, commands, spared)
