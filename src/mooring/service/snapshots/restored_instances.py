"""Instances made from instance snapshots, with their disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.access import Access
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.names import MAX_NAME_LENGTH, check_name, shown
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, InstanceSnapshotState
from mooring.model.resources.job_arguments import RestoreInstance
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import operations
from mooring.service.automatic.add_ons import begin_with, read_add_ons
from mooring.service.automatic.taken import find_auto_snapshot_of_instance, refuse_choice
from mooring.service.call import Call, Result
from mooring.service.finding import find_instance_snapshot
from mooring.service.instances.disks_made_with import disk_made_with
from mooring.service.instances.instances import (
    check_bundle,
    check_free,
    check_host,
    check_new_names,
)
from mooring.service.instances.own_blueprints import restored_system_disk_size, system_disk_name
from mooring.service.placing import host_for_instance
from mooring.taking.rest import check_agent


def create_instances_from_snapshot(backend: Backend, call: Call) -> Result:
    """CreateInstancesFromSnapshot: each instance with disks of its own, all or none of them."""
    params = call.params
    read_add_ons(params, call.region)
    names = check_new_names(params["instanceNames"])
    check_bundle(params["bundleId"])
    backend.check_zone(call.region, params["availabilityZone"])
    with backend.catalog.write() as transaction:
        whole = _source(transaction, call)
        if whole.state is not InstanceSnapshotState.AVAILABLE:
            raise OperationFailureException(
                f"You can't create an instance from the snapshot {whole.name} right now. "
                f"The state of this snapshot is: {whole.state}"
            )
        disk_names = _disk_names(whole, names, params.get("attachedDiskMapping") or {})
        check_free(transaction, call.region, [*names, *_all(disk_names)])
        started = []
        for name in names:
            instance = _new_instance(backend, call, whole, name)
            instance = replace(
                instance,
                host=host_for_instance(backend, transaction, instance.zone, instance.tags),
            )
            transaction.instances.add(instance)
            begin_with(backend, transaction, call, instance)
            disks = _new_disks(backend, call.context.access, whole, instance, disk_names[name])
            for disk in disks:
                transaction.disks.add(disk)
            started += operations.enqueue(
                backend,
                transaction,
                RestoreInstance(
                    instance=instance.id,
                    disks=tuple(disk.id for disk in disks),
                    snapshots=tuple(part.id for part in whole.parts),
                ),
                instance.id,
                instance.region,
                [operations.begin(backend, call, instance)],
                at=instance,
            )
        return operations.reply(backend, transaction, call, started)


def _source(transaction: Transaction, call: Call) -> InstanceSnapshot:
    """The snapshot to start from."""
    params = call.params
    name, instance_name = params.get("instanceSnapshotName"), params.get("sourceInstanceName")
    if name and instance_name:
        raise InvalidInputException(
            "Give either instanceSnapshotName or sourceInstanceName, not both."
        )
    if instance_name:
        return find_auto_snapshot_of_instance(transaction, call.region, instance_name, params)
    if not name:
        raise InvalidInputException(
            "instanceSnapshotName is required: the snapshot to start from. For an automatic "
            "snapshot, give sourceInstanceName instead."
        )
    refuse_choice(params, "sourceInstanceName", "instanceSnapshotName")
    return find_instance_snapshot(transaction, call.region, str(name))


def _disk_names(
    whole: InstanceSnapshot, names: Sequence[str], mapping: Mapping[str, Any]
) -> dict[str, list[str]]:
    """For each instance the names of its disks, in the order of the snapshot's parts.

    A disk that the mapping does not name is called after its instance and the disk of old, a system
    disk after its instance.
    """
    for name in mapping:
        if name not in names:
            raise InvalidInputException(
                f"attachedDiskMapping has disks for {shown(name)}, which is not among the "
                f"instanceNames: {', '.join(names)}."
            )
    return {name: _of_instance(whole, name, mapping.get(name) or []) for name in names}


def _of_instance(
    whole: InstanceSnapshot, name: str, mapped: Sequence[Mapping[str, Any]]
) -> list[str]:
    asked = {one.get("originalDiskPath"): one.get("newDiskName") for one in mapped}
    paths = [part.disk_path for part in whole.parts]
    for path in asked:
        if path not in paths:
            raise InvalidInputException(
                f"The snapshot {whole.name} has no disk at {shown(str(path))}. "
                f"Its disks are at: {', '.join(map(str, paths)) or 'none'}."
            )
    found = []
    for part in whole.parts:
        found.append(check_name(asked.get(part.disk_path) or _name_of(part, name)))
    return found


def _name_of(part: DiskSnapshot, instance_name: str) -> str:
    """What a disk is called that nobody has named. Raises InvalidInputException."""
    if part.is_system:
        return system_disk_name(instance_name)
    name = f"{instance_name}-{part.disk_name}"
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidInputException(
            f"The disk {part.disk_name} of the snapshot needs a new name, because {instance_name} "
            "and its own are too long together: give one with attachedDiskMapping."
        )
    return name


def _all(disk_names: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for names in disk_names.values() for name in names]


def _new_instance(backend: Backend, call: Call, whole: InstanceSnapshot, name: str) -> Instance:
    params = call.params
    key_pair = params.get("keyPairName")
    check_host(backend, whole.blueprint_id)
    tags = read_given_tags(ResourceType.INSTANCE, params.get("tags") or [])
    check_agent(backend, tags)
    return Instance(
        id=backend.ids.new_id(),
        region=call.region,
        zone=params["availabilityZone"],
        name=name,
        created_ms=backend.clock.now_ms(),
        support_code=backend.support_code("i"),
        blueprint_id=whole.blueprint_id,
        bundle_id=params["bundleId"],
        key_pair=None if key_pair is None else check_name(key_pair),
        ip_address_type=params.get("ipAddressType") or "dualstack",
        tags=tags,
    )


def _new_disks(
    backend: Backend,
    access: Access,
    whole: InstanceSnapshot,
    instance: Instance,
    names: Sequence[str],
) -> list[Disk]:
    """The disks of an instance that is made from the snapshot."""
    return [
        disk_made_with(
            backend,
            instance,
            name,
            size_gb=restored_system_disk_size(part, whole, instance.bundle_id)
            if part.is_system
            else part.size_gb,
            path=part.disk_path,
            origin_id=part.id,
            is_system=part.is_system,
            tags=access.tags,
        )
        for part, name in zip(whole.parts, names, strict=True)
    ]
