"""Blueprints of one's own, and the system disks made of them."""

from __future__ import annotations

from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model import blueprints
from mooring.model.access import Access
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.names import MAX_NAME_LENGTH, is_name, shown
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.system_disk import SYSTEM_DISK_PATH
from mooring.service.instances.disks_made_with import disk_made_with
from mooring.service.room import check_room_for_disks
from mooring.service.vault_presence import check_vault

_ENDING = "-system"


def find_blueprint(
    transaction: Transaction, access: Access, region: str, blueprint_id: str
) -> DiskSnapshot | None:
    """The caller's own blueprint of that id, None if there is none."""
    if not is_name(blueprint_id):
        return None
    found = transaction.snapshots.by_name(region, blueprint_id)
    if found is None or found.blueprint is None or not access.reaches(found.tags):
        return None
    return found


def check_stored(blueprint: DiskSnapshot) -> None:
    """Raise OperationFailureException unless instances can be made of the blueprint."""
    if not blueprint.is_stored:
        raise OperationFailureException(
            f"You can't create an instance from the blueprint {blueprint.name} right now. "
            f"The state of its snapshot is: {blueprint.state}"
        )


def check_places(backend: Backend, region: str, zone: str) -> None:
    """Raise unless the vault is there, and room for system disks in the zone.

    Not within a transaction: who looks at the vault uses the catalog, too.
    """
    check_vault(backend, region, writes=False)
    check_room_for_disks(backend, zone)


def system_disk_size(blueprint: DiskSnapshot, bundle_id: str) -> int:
    """The bundle's, in GB, or the blueprint's if the bundle has none.

    Raises InvalidInputException if the bundle's is too small.
    """
    size = _bundle_size(bundle_id) or blueprint.size_gb
    if size < blueprint.size_gb:
        raise InvalidInputException(
            f"The disk of the bundle {bundle_id} has {size} GB, but the blueprint "
            f"{blueprint.name} needs {blueprint.size_gb} GB. Choose a larger bundle, or the bundle "
            "external, whose disk is as large as the blueprint."
        )
    return size


def restored_system_disk_size(part: DiskSnapshot, whole: InstanceSnapshot, bundle_id: str) -> int:
    """The bundle's, in GB; as large as it was if that is more, or the bundle has none.

    Raises InvalidInputException if another bundle than it had is too small. With the same one it
    may be larger than that: it has grown, and can be had again as it was.
    """
    size = _bundle_size(bundle_id) or part.size_gb
    if size < part.size_gb and bundle_id != whole.bundle_id:
        raise InvalidInputException(
            f"The disk of the bundle {bundle_id} has {size} GB, but the system disk in the "
            f"snapshot {whole.name} has {part.size_gb} GB. Choose a larger bundle, or the bundle "
            "external, whose disk is as large as that."
        )
    return max(size, part.size_gb)


def _bundle_size(bundle_id: str) -> int | None:
    """In GB; None if the bundle has no disk, or is not known well enough."""
    return (blueprints.bundle(bundle_id) or {}).get("diskSizeInGb") or None


def system_disk_name(instance_name: str) -> str:
    """What the disk is called. Raises InvalidInputException if that would be no name."""
    if len(instance_name) + len(_ENDING) > MAX_NAME_LENGTH:
        raise InvalidInputException(
            f"The name {shown(instance_name)} is too long for an instance with a system disk, "
            f"which is called after it, with {_ENDING}: use at most "
            f"{MAX_NAME_LENGTH - len(_ENDING)} characters."
        )
    return f"{instance_name}{_ENDING}"


def add_system_disk(
    backend: Backend,
    transaction: Transaction,
    instance: Instance,
    blueprint: DiskSnapshot,
    name: str,
) -> Disk:
    """Record the instance's system disk. Raises InvalidInputException."""
    disk = disk_made_with(
        backend,
        instance,
        name,
        size_gb=system_disk_size(blueprint, instance.bundle_id),
        path=SYSTEM_DISK_PATH,
        origin_id=blueprint.id,
        is_system=True,
        tags={},
    )
    transaction.disks.add(disk)
    return disk


def blueprint_view(blueprint: DiskSnapshot) -> dict[str, Any]:
    """A blueprint of one's own as the API's Blueprint; inactive until it can be used."""
    assert blueprint.blueprint is not None
    return {
        "blueprintId": blueprint.name,
        "name": blueprint.name,
        "group": blueprint.name,
        "type": "os",
        "description": f"A blueprint of your own, with a system disk of {blueprint.size_gb} GB.",
        "isActive": blueprint.is_stored,
        "minPower": 0,
        "version": "1",
        "versionCode": "1",
        "platform": blueprint.blueprint.told,
    }
