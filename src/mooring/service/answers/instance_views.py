"""Instances as the API shows them, their addresses and their firewall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mooring.backend.backend import Backend
from mooring.model import blueprints
from mooring.model.addresses import addresses_of
from mooring.model.operation import ALL_ZONES, ResourceType
from mooring.model.resources.disk import Disk
from mooring.model.resources.firewall import ANYWHERE, Ports
from mooring.model.resources.instance import Instance
from mooring.model.resources.key_pair import DEFAULT_KEY_PAIR
from mooring.model.resources.static_ip import StaticIp
from mooring.model.resources.system_disk import system_disk
from mooring.service.answers.views import (
    View,
    add_on_views,
    arn,
    disk_view,
    location_view,
    tag_views,
    with_host,
)


def instance_view(backend: Backend, instance: Instance, disks: Iterable[Disk]) -> View:
    """An instance as the API's Instance; its addresses are only told, unless a tag gives them."""
    blueprint = blueprints.blueprint(instance.blueprint_id) or {}
    bundle = blueprints.bundle(instance.bundle_id) or {}
    assert instance.slot is not None
    addresses = addresses_of(
        instance.slot, instance.ip_address_type, instance.tags, instance.static_slot
    )
    return {
        "name": instance.name,
        "arn": arn(backend, instance.region, ResourceType.INSTANCE, instance.id),
        "supportCode": instance.support_code,
        "createdAt": instance.created_ms,
        "location": location_view(instance.zone, instance.region),
        "resourceType": ResourceType.INSTANCE,
        "tags": tag_views(with_host(backend, instance)),
        "blueprintId": instance.blueprint_id,
        "blueprintName": blueprint.get("name", instance.blueprint_id),
        "bundleId": instance.bundle_id,
        "addOns": add_on_views(instance),
        "isStaticIp": instance.static_slot is not None,
        "privateIpAddress": addresses.private,
        "publicIpAddress": addresses.public,
        "ipv6Addresses": None if addresses.ipv6 is None else [addresses.ipv6],
        "ipAddressType": instance.ip_address_type,
        "hardware": {
            "cpuCount": bundle.get("cpuCount", 0),
            "disks": _hardware_disks(backend, instance, list(disks)),
            "ramSizeInGb": bundle.get("ramSizeInGb", 0.0),
        },
        "networking": {
            "monthlyTransfer": {"gbPerMonthAllocated": bundle.get("transferPerMonthInGb", 0)},
            "ports": [_port_view(one) for one in instance.ports],
        },
        "metadataOptions": _metadata_view(instance),
        "state": state_view(instance),
        "username": blueprints.username(instance.blueprint_id),
        "sshKeyName": instance.key_pair or DEFAULT_KEY_PAIR,
    }


def _hardware_disks(backend: Backend, instance: Instance, disks: Sequence[Disk]) -> list[View]:
    """The disks, with the system disk marked: the instance's own, or the one that its tag names."""
    chosen = system_disk(instance, disks)
    views = [(disk, disk_view(backend, disk)) for disk in disks]
    return [
        view
        if chosen is None or disk.is_system == (disk is chosen)
        else {**view, "isSystemDisk": disk is chosen}
        for disk, view in views
    ]


def static_ip_view(backend: Backend, one: StaticIp) -> View:
    """A static IP as the API's StaticIp, which has no tags."""
    return {
        "name": one.name,
        "arn": arn(backend, one.region, ResourceType.STATIC_IP, one.id),
        "supportCode": f"{backend.account_id}/{one.address}",
        "createdAt": one.created_ms,
        "location": location_view(ALL_ZONES, one.region),
        "resourceType": ResourceType.STATIC_IP,
        "ipAddress": one.address,
        "attachedTo": one.instance_name,
        "isAttached": one.instance_id is not None,
    }


def port_state_view(ports: Ports) -> View:
    """An entry of the firewall as the API's InstancePortState."""
    return {
        "fromPort": ports.first,
        "toPort": ports.last,
        # The real service's word, which its model does not have (terraform-provider-aws#36091).
        "protocol": "-1" if ports.protocol == "all" else ports.protocol,
        "state": "open",
        "cidrs": list(ports.cidrs),
        "ipv6Cidrs": list(ports.ipv6_cidrs),
        "cidrListAliases": list(ports.aliases),
    }


def _port_view(ports: Ports) -> View:
    anywhere = ANYWHERE in ports.cidrs
    return {
        "fromPort": ports.first,
        "toPort": ports.last,
        "protocol": ports.protocol,
        "accessFrom": f"Anywhere ({ANYWHERE})" if anywhere else "Custom",
        "accessType": "Public",
        "commonName": "",
        "accessDirection": "inbound",
        "cidrs": list(ports.cidrs),
        "ipv6Cidrs": list(ports.ipv6_cidrs),
        "cidrListAliases": list(ports.aliases),
    }


def _metadata_view(instance: Instance) -> View | None:
    if instance.metadata_options is None:
        return None
    return {"state": "applied", **instance.metadata_options}


def state_view(instance: Instance) -> View:
    """An instance's state as the API's InstanceState."""
    return {"code": instance.state.code, "name": instance.state.label}
