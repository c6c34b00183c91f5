"""What clients set on instances and read back; it has no effect here.

Mooring runs no machines, so there is nothing that it could have an effect on.
"""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import (
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.operation import ResourceType
from mooring.model.resources.firewall import Ports, encode, opened, read_ports
from mooring.model.resources.instance import Instance
from mooring.service.answers import instance_views, operations
from mooring.service.call import Call, Result
from mooring.service.finding import find_instance

METADATA = {
    "httpTokens": "optional",
    "httpEndpoint": "enabled",
    "httpPutResponseHopLimit": 1,
    "httpProtocolIpv6": "disabled",
}
"""The members of the metadata options, with what they are until somebody sets them."""

MAX_HOPS = 64


def update_instance_metadata_options(backend: Backend, call: Call) -> Result:
    """UpdateInstanceMetadataOptions: members that are not given stay as they are."""
    given = {name: call.params[name] for name in METADATA if call.params.get(name) is not None}
    hops = given.get("httpPutResponseHopLimit", 1)
    if not 1 <= hops <= MAX_HOPS:
        raise InvalidInputException(f"httpPutResponseHopLimit must be 1 to {MAX_HOPS}, not {hops}.")
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        changed = {**METADATA, **(instance.metadata_options or {}), **given}
        transaction.instances.set_metadata_options(instance.id, changed)
        return _reply(backend, transaction, call, instance)


def open_instance_public_ports(backend: Backend, call: Call) -> Result:
    """OpenInstancePublicPorts: replaces an entry of the same ports."""
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        entry = read_ports(call.params["portInfo"])
        return _set_ports(backend, transaction, call, instance, instance.ports, [entry])


def close_instance_public_ports(backend: Backend, call: Call) -> Result:
    """CloseInstancePublicPorts: of an entry that is not there nothing is left, either."""
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        entry = read_ports(call.params["portInfo"])
        left = [one for one in instance.ports if one.key != entry.key]
        transaction.instances.change(instance.id, ports=encode(left))
        return _reply(backend, transaction, call, instance, entry.text)


def put_instance_public_ports(backend: Backend, call: Call) -> Result:
    """PutInstancePublicPorts: these entries and no others."""
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        entries = [read_ports(one) for one in call.params["portInfos"]]
        return _set_ports(backend, transaction, call, instance, [], entries)


def get_instance_port_states(backend: Backend, call: Call) -> Result:
    """GetInstancePortStates: what was opened; at first nothing is."""
    with backend.catalog.read() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
    return {"portStates": [instance_views.port_state_view(one) for one in instance.ports]}


def set_ip_address_type(backend: Backend, call: Call) -> Result:
    """SetIpAddressType: of the resources that have one, only instances are known here."""
    params = call.params
    with backend.catalog.write() as transaction:
        if params["resourceType"] != ResourceType.INSTANCE:
            raise NotFoundException(
                f"The {params['resourceType']} does not exist: {params['resourceName']}"
            )
        instance = find_instance(transaction, call.region, params["resourceName"])
        if params["ipAddressType"] == "ipv6" and instance.static_slot is not None:
            raise OperationFailureException(
                f"The instance {instance.name} has a static IP, which is IPv4: detach it first."
            )
        transaction.instances.change(instance.id, ip_address_type=params["ipAddressType"])
        ended = [operations.begin(backend, call, instance, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def is_vpc_peered(_backend: Backend, _call: Call) -> Result:
    """IsVpcPeered: there is no network to be peered with."""
    return {"isPeered": False}


def _set_ports(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    instance: Instance,
    before: list[Ports],
    entries: list[Ports],
) -> Result:
    transaction.instances.change(instance.id, ports=encode(opened(before, entries)))
    text = ", ".join(one.text for one in entries)
    return _reply(backend, transaction, call, instance, text)


def _reply(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    instance: Instance,
    details: str | None = None,
) -> Result:
    ended = operations.begin(backend, call, instance, details=details, ended=True)
    (shown,) = operations.record(transaction, [ended])["operations"]
    return call.remember(backend, transaction, {"operation": shown})
