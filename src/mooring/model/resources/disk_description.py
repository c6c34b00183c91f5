"""What lies beside a disk's layers to identify it: docs/formats/description.md as code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooring.model.automatic.rules import AddOn
from mooring.model.errors import DescriptionError
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.firewall import decode as decode_ports
from mooring.model.resources.firewall import encode as encode_ports
from mooring.model.resources.instance import Instance, InstanceState

VERSION = 1

_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What texts raise that no server has written."""

_ATTACHED = (Attachment.ATTACHED, Attachment.DETACHING)


@dataclass(frozen=True, slots=True)
class Description:
    """A disk, available or attached, and the instance that it is attached to."""

    disk: Disk
    instance: Instance | None = None


def describes(disk: Disk) -> bool:
    """Whether the disk is one to describe: it has been made."""
    return disk.state in (DiskState.AVAILABLE, DiskState.IN_USE)


def encode(disk: Disk, instance: Instance | None) -> bytes:
    """The description of a disk; the same for the same disk."""
    return (json.dumps(told(disk, instance), indent=1, sort_keys=True) + "\n").encode()


def told(disk: Disk, instance: Instance | None) -> dict[str, Any]:
    """What the description says, as values of JSON."""
    attached = instance is not None and disk.attachment in _ATTACHED
    return {
        "version": VERSION,
        "disk": {
            "id": disk.id,
            "region": disk.region,
            "zone": disk.zone,
            "name": disk.name,
            "createdMs": disk.created_ms,
            "supportCode": disk.support_code,
            "sizeGb": disk.size_gb,
            "path": disk.path if attached else None,
            "originId": disk.origin_id,
            **({"ancestors": list(disk.ancestors)} if disk.ancestors else {}),
            "autoMounting": disk.auto_mounting,
            **({"isSystem": True} if disk.is_system and attached else {}),
            **_tell_add_on(disk.add_on),
            "tags": dict(disk.tags),
        },
        "instance": _instance(instance) if instance is not None and attached else None,
    }


def _instance(one: Instance) -> dict[str, Any]:
    options = one.metadata_options
    running = one.state in (InstanceState.RUNNING, InstanceState.PENDING)
    return {
        "id": one.id,
        "region": one.region,
        "zone": one.zone,
        "name": one.name,
        "createdMs": one.created_ms,
        "supportCode": one.support_code,
        "blueprintId": one.blueprint_id,
        "bundleId": one.bundle_id,
        "running": running,
        "keyPair": one.key_pair,
        "ipAddressType": one.ip_address_type,
        "metadataOptions": None if options is None else dict(options),
        "ports": encode_ports(one.ports),
        **_tell_add_on(one.add_on),
        "tags": dict(one.tags),
    }


def _tell_add_on(add_on: AddOn | None) -> dict[str, str | None]:
    """A disabled one has a member of its own, for older programs take the other as enabled."""
    if add_on is not None and not add_on.enabled:
        return {"addOnTime": None, "disabledAddOnTime": add_on.time_of_day}
    return {"addOnTime": None if add_on is None else add_on.time_of_day}


def decode(text: bytes) -> Description:
    """Raises DescriptionError if it is none, or of a later version."""
    try:
        told = json.loads(text)
        if told["version"] != VERSION:
            raise DescriptionError(
                f"it has version {told['version']}, this program knows only {VERSION}"
            )
        instance = None if told["instance"] is None else _read_instance(told["instance"])
        return Description(_read_disk(told["disk"], instance), instance)
    except _UNREADABLE as error:
        raise DescriptionError(f"it cannot be read: {error!r}") from error


def _read_disk(told: Mapping[str, Any], instance: Instance | None) -> Disk:
    return Disk(
        id=str(told["id"]),
        region=str(told["region"]),
        zone=str(told["zone"]),
        name=str(told["name"]),
        created_ms=int(told["createdMs"]),
        support_code=str(told["supportCode"]),
        size_gb=int(told["sizeGb"]),
        state=DiskState.AVAILABLE if instance is None else DiskState.IN_USE,
        attachment=Attachment.DETACHED if instance is None else Attachment.ATTACHED,
        instance_id=None if instance is None else instance.id,
        instance_name=None if instance is None else instance.name,
        path=told["path"],
        origin_id=told["originId"],
        ancestors=tuple(map(str, told.get("ancestors", ()))),
        auto_mounting=bool(told["autoMounting"]),
        is_system=bool(told.get("isSystem")) and instance is not None,
        add_on=_read_add_on(told),
        tags=_read_tags(told),
    )


def _read_instance(told: Mapping[str, Any]) -> Instance:
    return Instance(
        id=str(told["id"]),
        region=str(told["region"]),
        zone=str(told["zone"]),
        name=str(told["name"]),
        created_ms=int(told["createdMs"]),
        support_code=str(told["supportCode"]),
        blueprint_id=str(told["blueprintId"]),
        bundle_id=str(told["bundleId"]),
        state=InstanceState.RUNNING if told["running"] else InstanceState.STOPPED,
        key_pair=told["keyPair"],
        ip_address_type=str(told["ipAddressType"]),
        metadata_options=told["metadataOptions"],
        ports=decode_ports(told["ports"]),
        add_on=_read_add_on(told),
        tags=_read_tags(told),
    )


def _read_add_on(told: Mapping[str, Any]) -> AddOn | None:
    if told["addOnTime"] is not None:
        return AddOn(str(told["addOnTime"]), 0)
    disabled = told.get("disabledAddOnTime")
    return None if disabled is None else AddOn(str(disabled), 0, enabled=False)


def _read_tags(told: Mapping[str, Any]) -> dict[str, str | None]:
    return {str(k): None if v is None else str(v) for k, v in told["tags"].items()}
