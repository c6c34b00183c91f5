"""mooringd doctor: what is wrong on this host, and how to fix it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mooring.admin.access.env import variables
from mooring.admin.asking import ask, unwell
from mooring.admin.health.catalog import catalog_findings
from mooring.admin.health.ceph import ceph_findings
from mooring.admin.health.hosts import host_findings
from mooring.admin.health.notify import told_findings
from mooring.admin.health.outside import outside_findings
from mooring.admin.health.servers import server_findings
from mooring.admin.health.vaults import vault_findings
from mooring.config.settings import Settings
from mooring.engine.qemu.daemon.open_layers import may_discard
from mooring.host.room import device_at, may_take
from mooring.host.rooms import COPY_OF, of_vault
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError, ServerRunningError
from mooring.model.paths import Paths
from mooring.model.resources.disk import DiskState
from mooring.service.absence import absent_places
from mooring.service.context import Context
from mooring.service.own.automatic import automatic
from mooring.service.own.disks import disks
from mooring.wiring.build_server import build_server
from mooring.wiring.data_directory import away, obstacle, run_place
from mooring.wiring.file_systems import file_systems
from mooring.wiring.server import Mooring

DAEMON = "qemu-storage-daemon"

TOOLS = {
    DAEMON: "serves the disks: apt-get install qemu-system-common qemu-utils",
    "qemu-img": "writes images (mooringd export): apt-get install qemu-utils",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    ok: bool
    text: str


def doctor(settings: Settings) -> int:
    """Print what was found; returns 1 if something is wrong."""
    failed = False
    for finding in _findings(settings):
        print(f"{'ok  ' if finding.ok else 'BAD '} {finding.text}")
        failed = failed or not finding.ok
    return int(failed)


def _findings(settings: Settings) -> Iterator[Finding]:
    for tool, purpose in TOOLS.items():
        path = shutil.which(tool)
        yield Finding(path is not None, f"{tool}: {path or 'missing; it ' + purpose}")
    if settings.engine.kind == "qemu" and (text := _trims()):
        yield Finding(True, text)
    paths = Paths(settings.data_directory)
    if (problem := away(paths.data)) is not None:
        raise ConfigurationError(problem)
    if not paths.data.is_dir():
        if (problem := obstacle(paths.data)) is not None:
            raise ConfigurationError(f"{problem}: name another place with --data")
        yield Finding(True, f"{paths.data}: not there yet; `mooringd serve` creates it")
        return
    yield from (Finding(*one) for one in ceph_findings(settings))
    yield from _rooms(settings)
    yield Finding(os.access(paths.data, os.W_OK), f"{paths.data}: this user can write there")
    for found in catalog_findings(settings):
        yield Finding(*found)
    for found in vault_findings(settings):
        yield Finding(*found)
    for found in outside_findings(settings):
        yield Finding(*found)
    for found in server_findings(settings):
        yield Finding(*found)
    for found in told_findings(settings):
        yield Finding(*found)
    for found in host_findings(settings):
        yield Finding(*found)
    try:
        mooring = build_server(settings)
    except ServerRunningError:
        yield from _of_server(settings)
        return
    except ConfigurationError as error:
        yield Finding(False, str(error))
        return
    except OSError as error:
        # As on a file system that the kernel has made read-only after an error of its disk.
        yield Finding(False, f"{error.filename}: {error.strerror}, so nothing can be recorded here")
        return
    try:
        mooring.backend.catalog.migrate()
        for region in settings.regions:
            yield from _paged(partial(disks, mooring.backend, _context(region)))
            told = automatic(mooring.backend, _context(region), {})
            yield from _automatic(told["automatic"])
        yield from _absent(absent_places(mooring.backend, _context(""), {})["absent"])
        yield from _devices(mooring)
    except ConfigurationError as error:
        yield Finding(False, str(error))
    finally:
        mooring.stop()


def _trims() -> str | None:
    """What is to be known of this host's QEMU by who waits for room after a trim."""
    try:
        done = subprocess.run(
            [DAEMON, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", done.stdout)
    if found is None or may_discard(tuple(map(int, found.groups()))):
        return None
    return (
        f"trims are ignored by this QEMU ({'.'.join(found.groups())}), which could lose data on "
        "them: fstrim reclaims no space, zeros do (fallocate --zero-range, blkdiscard --zeroout)"
    )


def _rooms(settings: Settings) -> Iterator[Finding]:
    """The room for each use, once for each file system; that of vaults is told with them."""
    data = settings.data_directory.absolute()
    seen: set[int] = set()
    vaults = {of_vault(region) for region in settings.regions}
    rooms = file_systems(settings, Paths(data, run_place(settings, data)))
    for problem in rooms.away().values():
        yield Finding(False, problem)
    for use, room in rooms.look():
        device = device_at(room.path)
        if device in seen or use.removeprefix(COPY_OF) in vaults:
            continue
        seen.add(device)
        text = f"{use}: {room.path}: {room}"
        if room.is_short:
            yield Finding(False, f"{text}; free some space, or writes and snapshots will fail")
        elif not may_take(room.path):
            quota = "none of it for this user: raise the quota, or writes and snapshots will fail"
            yield Finding(False, f"{text}, but {quota}")
        else:
            yield Finding(True, text)


def _devices(mooring: Mooring) -> Iterator[Finding]:
    """Block devices of this host, and who is still held at rest."""
    devices = mooring.backend.devices
    with mooring.backend.catalog.read() as transaction:
        known = {disk_id: transaction.disks.by_id(disk_id) for disk_id in devices.known()}
    for disk_id, disk in known.items():
        path = devices.device(disk_id) or "its block device"
        if disk is None or disk.instance_id is None:
            users = devices.users(disk_id)
            way_out = f"it is {users}: end that, and" if users else "nobody uses it:"
            yield Finding(
                False,
                f"{path}, left over from the disk {disk_id}, which is not attached; {way_out} "
                "`mooringd serve` removes it",
            )
        elif problem := devices.problem(disk_id):
            yield Finding(False, f"disk {disk.name}: {problem}")
        else:
            users = devices.users(disk_id) or "not in use"
            yield Finding(True, f"disk {disk.name}: {path} on this host, {users}")
    for instance_id in mooring.backend.quiescer.left():
        yield Finding(
            False,
            f"users of the disks of instance {instance_id} may still be held at rest since a "
            "snapshot during which everything was killed; `mooringd serve` thaws them",
        )


def _of_server(settings: Settings) -> Iterator[Finding]:
    """What the running server says: the disks are its own."""
    yield Finding(True, "a server runs; its disks are as it says")
    try:
        bundle = os.environ.get("AWS_CA_BUNDLE") or settings.listen.certificate
        environment = {**variables(settings), "AWS_CA_BUNDLE": bundle}
        if problem := unwell(environment):
            yield Finding(False, f"the server reports: {problem}")
        for region in settings.regions:
            asking = {**environment, "AWS_DEFAULT_REGION": region}
            yield from _paged(lambda given, of=asking: ask(of, "disks", SystemClock(), **given))  # type: ignore[misc]
            yield from _automatic(ask(asking, "automatic", SystemClock())["automatic"])
        yield from _absent(ask(environment, "absent", SystemClock())["absent"])
        yield from _threads(ask(environment, "threads", SystemClock()))
    except ConfigurationError as error:
        yield Finding(False, f"a server runs, but cannot be asked about its disks: {error}")


def _absent(places: Iterable[str]) -> Iterator[Finding]:
    for text in places:
        yield Finding(False, text)


def _threads(told: Mapping[str, Any]) -> Iterator[Finding]:
    for problem in told["problems"]:
        yield Finding(False, f"{problem}; the server's log has the details")
    if not told["problems"]:
        yield Finding(True, f"all {counted(told['threads'], 'thread')} of the server are working")


def _context(region: str) -> Context:
    return Context(region=region, caller="", request_id="", invocation_id=None, received_ms=0)


def _paged(page_of: Callable[[dict[str, str]], Mapping[str, Any]]) -> Iterator[Finding]:
    """The findings of all pages; each is told before the next is asked for."""
    given: dict[str, str] = {}
    while True:
        page = page_of(given)
        yield from _disks(page["disks"])
        if page.get("nextPageToken") is None:
            return
        given = {"pageToken": page["nextPageToken"]}


def _disks(told: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    for one in told:
        where = f"disk {one['diskName']} in {one['zone']}"
        if one["state"] == DiskState.ERROR:
            yield Finding(False, f"{where}: could not be made; delete it with delete-disk")
        elif one["state"] != DiskState.PENDING:
            text = one["problem"] or f"{counted(one['layers'], 'layer')}"
            yield Finding(one["ok"], f"{where}: {text}{_way_out(one)}")


def _automatic(told: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    for one in told:
        yield Finding(one["ok"], f"{one['kind']} {one['name']} in {one['region']}: {one['text']}")


def _way_out(one: Mapping[str, Any]) -> str:
    """What to do about a layer that is missing or damaged."""
    if not one["damaged"]:
        return ""
    if one["newestSnapshotName"] is None:
        return "; no snapshot of the disk is stored: put the file back from a copy"
    return (
        "; put the file back from a copy, or make a new disk from the snapshot "
        f"{one['newestSnapshotName']} with create-disk-from-snapshot"
    )
