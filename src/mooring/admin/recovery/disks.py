"""Entering live disks and their instances, from the descriptions beside their layers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from mooring.admin.vaults.believing import IMPOSSIBLE, check_description
from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.live.fork_disk import standing_alone
from mooring.model.automatic.rules import add_on_run
from mooring.model.errors import DescriptionError, EngineError
from mooring.model.names import MAX_NAME_LENGTH
from mooring.model.resources.disk import Disk
from mooring.model.resources.disk_description import Description, decode
from mooring.model.resources.instance import Instance
from mooring.model.resources.job_arguments import DeleteDisk, DeleteInstance
from mooring.model.resources.job_kind import JobKind
from mooring.service.automatic.add_ons import follow_tags
from mooring.streams import one_line

_LIVE = ("state", "attachment", "instance_id", "path", "auto_mounting")
"""What a description knows better than an older catalog."""


@dataclass(slots=True)
class Entered:
    """What came into the catalog; `changed` and `grown` are disks that it had, but otherwise."""

    disks: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)


def read_descriptions(
    backend: Backend, regions: Collection[str]
) -> tuple[list[Description], dict[str, str]]:
    """Those of all zones, in the order of the disks' making; what cannot be read or believed, by
    disk or zone. `regions` are those of the settings.

    A disk whose description has another id than its folder is not entered: it was copied there.
    """
    found: list[Description] = []
    unreadable: dict[str, str] = {}
    for zone, engine in backend.engines.items():
        try:
            texts: Mapping[str, bytes] = engine.descriptions()
        except EngineError as error:
            unreadable[f"zone {zone}"] = str(error)
            continue
        for disk_id, text in texts.items():
            try:
                one = decode(text)
                check_description(one, regions)
            except DescriptionError as error:
                unreadable[f"disk {disk_id}"] = str(error)
                continue
            except IMPOSSIBLE as error:
                unreadable[f"disk {disk_id}"] = one_line(f"its description cannot be true: {error}")
                continue
            if one.disk.id != disk_id:
                unreadable[f"disk {disk_id}"] = f"its description is that of disk {one.disk.id}"
            else:
                found.append(replace(one, disk=replace(one.disk, zone=zone)))
    found.sort(key=lambda one: (one.disk.created_ms, one.disk.id))
    return found, unreadable


def enter_disks(
    transaction: Transaction, backend: Backend, descriptions: Iterable[Description]
) -> Entered:
    """Enter disks and instances that are missing; what is attached where follows the disks."""
    entered = Entered()
    leaving = {job.given(DeleteDisk).disk for job in transaction.jobs.of_kind(JobKind.DELETE_DISK)}
    for job in transaction.jobs.of_kind(JobKind.DELETE_INSTANCE):
        leaving.update(job.given(DeleteInstance).own)
    for one in descriptions:
        if one.disk.id in leaving:
            continue
        known = transaction.disks.by_id(one.disk.id)
        if known is not None and known.host not in ("", backend.host):
            continue  # it was moved: what lies here is of before that
        if one.instance is not None and transaction.instances.by_id(one.instance.id) is None:
            name = _free_name(transaction, entered, one.instance)
            transaction.instances.add(replace(one.instance, name=name, host=backend.host))
            _follow(transaction, backend, one.instance)
            entered.instances.append(name)
        if known is None:
            _add(transaction, backend, entered, one.disk)
        else:
            _bring_up(transaction, entered, known, one.disk)
    return entered


def _bring_up(transaction: Transaction, entered: Entered, known: Disk, found: Disk) -> None:
    """Bring a disk that an older catalog has up to its description."""
    differing = {
        column: value
        for column in _LIVE
        if (value := getattr(found, column)) != getattr(known, column)
    }
    if differing:
        transaction.disks.change(known.id, **differing)
        entered.changed.append(known.name)
    # Disks only grow: a smaller one was described before the catalog was told.
    if found.size_gb > known.size_gb:
        transaction.disks.change(known.id, size_gb=found.size_gb)
        entered.grown.append(known.name)


def _add(transaction: Transaction, backend: Backend, entered: Entered, disk: Disk) -> None:
    name = _free_name(transaction, entered, disk)
    transaction.disks.add(replace(disk, name=name, host=backend.host))
    _follow(transaction, backend, disk)
    entered.disks.append(name)
    filling = backend.engines[disk.zone].filling(disk.id)
    if filling is None:
        return
    if filling.forked:
        transaction.jobs.add(standing_alone(backend, disk))
    elif disk.origin_id is not None:
        transaction.jobs.add(fill_job(backend, disk, disk.origin_id))


def _free_name(transaction: Transaction, entered: Entered, resource: Disk | Instance) -> str:
    name = resource.name
    if transaction.names.taken(resource.region, [name]):
        ending = f"-{resource.id}"
        name = name[: MAX_NAME_LENGTH - len(ending)] + ending
        entered.renamed.append((resource.name, name))
    return name


def _follow(transaction: Transaction, backend: Backend, resource: Disk | Instance) -> None:
    """Let the automatic snapshots of a resource continue."""
    now = backend.clock.now_ms()
    if resource.add_on is not None:
        run = add_on_run(resource.id, resource.region, resource.add_on.time_of_day, now)
        runs = transaction.auto_runs
        put = runs.put if resource.add_on.enabled else runs.put_disabled
        put(run)
    follow_tags(backend, transaction, resource, resource.tags)
