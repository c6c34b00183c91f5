"""What a server asks its catalog: at its start, again and again, and for requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from mooring.engine.zones import Engines
from mooring.jobs.automatic.timetable import Timetable
from mooring.jobs.fill_disk import regions_filling
from mooring.jobs.keep_catalog import Describer
from mooring.jobs.recover import recover
from mooring.jobs.roots import compare, expected_roots
from mooring.jobs.schedule import Schedule, tasks
from mooring.jobs.watching import sources
from mooring.jobs.watching.disks import DiskWatch
from mooring.jobs.watching.held import HeldWatch
from mooring.jobs.watching.telling import Telling
from mooring.jobs.watching.troubles import TroubleWatch
from mooring.model.extents import GIB
from mooring.model.trouble import Trouble
from mooring.notify.memory import MemoryChannel
from mooring.service.absence import tell_absent
from mooring.vault.format.layout import root_name
from tests.catalog.many_rows import Amount, disk_id
from tests.service.world import REGION, ZONE, World

Ask = Callable[[], Any]
RHYTHM = "daily keep 1 week"

WHOLE = "whole: "
"""What the names of those begin with that are about all that there is."""


def pretend(world: World, disks: int) -> None:
    """Let the engine and the vault have what a generated catalog says.

    The disks that are attached are not there: their zone's host may be another.
    """
    for number in range(1, disks - Amount(disks=disks).instances + 1):
        world.engine.create(disk_id(number), GIB)
    with world.catalog.read() as transaction:
        stored = transaction.snapshots.rooted(REGION)
    for snapshot in stored:
        # Nobody can read that. Who tries says so, and leaves everything as it is.
        world.stores[REGION].put(root_name(snapshot.id), b"")


def asked(world: World, disks: int) -> Iterator[tuple[str, Ask]]:
    """Names, and what to call, in this order; the last disks are attached to nothing."""
    yield from _at_the_start(world)
    yield from _by_timers(world)
    yield from _of_resources(world, disks)
    yield from _by_requests(world, disks)
    yield from _about_all(world)


def _at_the_start(world: World) -> Iterator[tuple[str, Ask]]:
    yield "start: places that are absent", partial(tell_absent, world.backend)
    yield "start: recovery", partial(recover, world.backend)
    timetable = Timetable(world.backend, RHYTHM, RHYTHM)
    yield "start: rhythms of the settings", timetable.forget_old_rhythms
    yield "start: the vault's id", partial(_vault_id, world)


def _vault_id(world: World) -> None:
    with world.catalog.read() as transaction:
        transaction.vaults.of_region(REGION)


def _by_timers(world: World) -> Iterator[tuple[str, Ask]]:
    yield "timer: requests that are held", HeldWatch(world.backend).look
    timetable = Timetable(world.backend, RHYTHM, RHYTHM)
    yield "timer: automatic snapshots, first look", timetable.look
    yield "timer: automatic snapshots, nothing due", timetable.look

    def due() -> None:
        world.clock.advance(70)
        timetable.look()

    yield "timer: automatic snapshots, some due", due
    yield "timer: automatic snapshots, some wait", timetable.look
    yield "jobs: of what was due", world.runner.drain
    describer = Describer(world.catalog, Engines(world.engines))
    yield "timer: descriptions, first look", describer.look
    yield "timer: descriptions", describer.look
    every = tasks(collect_minutes=60, verify_hours=24, verify_percent=1)
    schedule = Schedule(world.backend, every, keep_operations_days=90)
    yield "timer: schedule, nothing old", schedule.look

    def lost() -> None:
        with world.catalog.read() as transaction:
            transaction.snapshots.lost_ids(REGION)

    yield "timer: roots that were lost", lost
    yield "timer: disks that are being filled", partial(regions_filling, world.backend)

    watch = TroubleWatch(world.backend, {}, {"all": partial(_seen, world)})
    yield "timer: troubles, first look", watch.look
    yield "timer: troubles", watch.look
    telling = Telling(world.backend, [], lambda: True, 1000)
    yield "timer: what is to be told", partial(telling.tell, MemoryChannel())
    yield "timer: some disks", DiskWatch(world.backend).look


def _seen(world: World) -> list[Trouble]:
    """What all sources see that ask the catalog."""
    backend = world.backend
    return [
        *sources.automatic(backend),
        *sources.snapshots(backend),
        *sources.vault_runs(backend, 60),
    ]


def _of_resources(world: World, disks: int) -> Iterator[tuple[str, Ask]]:
    """Pages from the first on, and from the middle; one resource each."""
    for operation in (
        "GetDisks",
        "GetDiskSnapshots",
        "GetInstances",
        "GetInstanceSnapshots",
        "GetOperations",
        "GetActiveNames",
        "GetKeyPairs",
        "GetStaticIps",
        "GetExportSnapshotRecords",
        "GetBlueprints",
    ):
        yield f"request: {operation}", partial(_pages, world, operation)
    yield "request: GetDisk", partial(world.call, "GetDisk", diskName=f"disk-{disks}")
    name = {"diskSnapshotName": "snapshot-30"}
    yield "request: GetDiskSnapshot", partial(world.call, "GetDiskSnapshot", **name)
    yield "request: GetInstance", partial(world.call, "GetInstance", instanceName="instance-30")
    whole = {"instanceSnapshotName": "whole-30"}
    yield "request: GetInstanceSnapshot", partial(world.call, "GetInstanceSnapshot", **whole)
    for resource in (f"disk-{disks}", "instance-30"):
        named = {"resourceName": resource}
        yield (
            f"request: GetAutoSnapshots {resource}",
            partial(world.call, "GetAutoSnapshots", **named),
        )
    of = {"resourceName": "snapshot-30"}
    yield (
        "request: GetOperationsForResource",
        partial(world.call, "GetOperationsForResource", **of),
    )
    for request in ("list-disks", "list-snapshots", "list-instances", "disks"):
        yield f"request: {request}", partial(_own_pages, world, request)
    yield (
        "request: list-snapshots of a disk",
        partial(world.act, "list-snapshots", diskName=f"disk-{disks}"),
    )
    yield "request: stat of a disk", partial(_stat, world, f"disk-{disks}")


def _pages(world: World, operation: str) -> None:
    token = None
    for _ in range(3):
        page = world.call(operation, **({} if token is None else {"pageToken": token}))
        token = page.get("nextPageToken")
        if token is None:
            return


def _own_pages(world: World, request: str) -> None:
    token = None
    for _ in range(3):
        page = world.act(request, **({} if token is None else {"pageToken": token}))
        token = page.get("nextPageToken")
        if token is None:
            return


def _stat(world: World, name: str) -> None:
    with world.catalog.read() as transaction:
        disk = transaction.disks.by_name(REGION, name)
        assert disk is not None
        transaction.auto_failures.health(of=[disk.id])


def _by_requests(world: World, disks: int) -> Iterator[tuple[str, Ask]]:
    """Changes, with the jobs that they leave."""

    def done(operation: str, **given: Any) -> Callable[[], None]:
        def do() -> None:
            world.call(operation, **given)
            world.runner.drain()

        return do

    disk, snapshot = {"diskName": "new"}, {"diskSnapshotName": "new-1"}
    place = {"availabilityZone": ZONE}
    tags = [{"key": "mooring:snapshots", "value": RHYTHM}]
    yield "request: CreateDisk", done("CreateDisk", **disk, **place, sizeInGb=8, tags=tags)
    instance = {"blueprintId": "external", "bundleId": "external"}
    names = {"instanceNames": ["new-instance"]}
    yield "request: CreateInstances", done("CreateInstances", **names, **place, **instance)
    used = {"instanceName": "new-instance", "diskPath": "/dev/xvdf"}
    yield "request: AttachDisk", done("AttachDisk", **disk, **used)
    yield "request: CreateDiskSnapshot", done("CreateDiskSnapshot", **disk, **snapshot)
    again = {"diskSnapshotName": "new-2"}
    yield "request: CreateDiskSnapshot, the second", done("CreateDiskSnapshot", **disk, **again)
    whole = {"instanceName": "new-instance", "instanceSnapshotName": "new-whole"}
    yield "request: CreateInstanceSnapshot", done("CreateInstanceSnapshot", **whole)
    given = {"diskName": "newer", "diskSnapshotName": "new-1", "sizeInGb": 8, **place}
    yield "request: CreateDiskFromSnapshot", done("CreateDiskFromSnapshot", **given)
    copied = {"sourceSnapshotName": "new-1", "targetSnapshotName": "copy", "sourceRegion": REGION}
    yield "request: CopySnapshot", done("CopySnapshot", region="us-west-2", **copied)
    enabled = {"resourceName": "new", "addOnRequest": {"addOnType": "AutoSnapshot"}}
    yield "request: EnableAddOn", done("EnableAddOn", **enabled)
    yield "request: UntagResource", done("UntagResource", resourceName="new", tagKeys=["a"])
    yield "request: AllocateStaticIp", done("AllocateStaticIp", staticIpName="ip")
    yield "request: DeleteDiskSnapshot", done("DeleteDiskSnapshot", **snapshot)
    gone = {"instanceSnapshotName": "new-whole"}
    yield "request: DeleteInstanceSnapshot", done("DeleteInstanceSnapshot", **gone)
    yield "request: DetachDisk", done("DetachDisk", **disk)
    yield "request: DeleteDisk", done("DeleteDisk", **disk, forceDeleteAddOns=True)
    yield "request: DeleteInstance", done("DeleteInstance", instanceName="new-instance")


def _about_all(world: World) -> Iterator[tuple[str, Ask]]:
    yield f"{WHOLE}expected roots", partial(expected_roots, world.catalog, REGION)
    yield f"{WHOLE}comparison", partial(compare, world.catalog, REGION, world.vault)
    yield f"{WHOLE}status", partial(world.act, "status")
    yield f"{WHOLE}automatic snapshots of a region", partial(world.act, "automatic")
    yield f"{WHOLE}usage of a vault", partial(world.act, "usage")
