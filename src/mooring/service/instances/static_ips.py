"""Static IPs: addresses that are stored, and reported as instances' own."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.names import check_name, name_taken
from mooring.model.resources.static_ip import MAX_STATIC_IPS, StaticIp
from mooring.service.answers import operations, pages
from mooring.service.answers.instance_views import static_ip_view
from mooring.service.call import Call, Result
from mooring.service.finding import find_instance, find_static_ip
from mooring.service.instances.static_ip_attachment import begin_both, detach


def allocate_static_ip(backend: Backend, call: Call) -> Result:
    """AllocateStaticIp: the request has no tags, so it gets those that bind the caller's key."""
    name = check_name(call.params["staticIpName"])
    with backend.catalog.write() as transaction:
        if transaction.names.taken(call.region, [name]):
            raise name_taken([name])
        if transaction.static_ips.count(call.region) >= MAX_STATIC_IPS:
            raise InvalidInputException(
                "Sorry, you've reached your maximum limit of Lightsail Static IPs : "
                f"{MAX_STATIC_IPS}. Release one that is not needed first."
            )
        one = StaticIp(
            id=backend.ids.new_id(),
            region=call.region,
            name=name,
            created_ms=backend.clock.now_ms(),
            slot=transaction.static_ips.free_slot(),
            tags=dict(call.context.access.tags),
        )
        transaction.static_ips.add(one)
        return operations.reply(
            backend, transaction, call, [operations.begin(backend, call, one, ended=True)]
        )


def attach_static_ip(backend: Backend, call: Call) -> Result:
    """AttachStaticIp: it is the instance's public address from now on."""
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        one = find_static_ip(transaction, call.region, call.params["staticIpName"])
        if one.instance_id is not None:
            raise OperationFailureException(
                f"The static IP {one.name} is already attached to the instance "
                f"{one.instance_name}: detach it first."
            )
        if transaction.static_ips.of_instance(instance.id) is not None:
            raise OperationFailureException(
                f"The instance {instance.name} already has a static IP: detach that first."
            )
        if instance.ip_address_type == "ipv6":
            raise OperationFailureException(
                f"The instance {instance.name} has only IPv6: change its IP address type first."
            )
        transaction.static_ips.change(one.id, instance_id=instance.id)
        both = begin_both(backend, call, one, instance, "AttachStaticIp")
        return operations.reply(backend, transaction, call, both)


def detach_static_ip(backend: Backend, call: Call) -> Result:
    """DetachStaticIp: the instance has the address again that it had before."""
    with backend.catalog.write() as transaction:
        one = find_static_ip(transaction, call.region, call.params["staticIpName"])
        if one.instance_id is None:
            raise OperationFailureException(f"The static IP {one.name} is not attached.")
        return operations.reply(backend, transaction, call, detach(backend, transaction, call, one))


def release_static_ip(backend: Backend, call: Call) -> Result:
    """ReleaseStaticIp: one that is attached is detached first."""
    with backend.catalog.write() as transaction:
        one = find_static_ip(transaction, call.region, call.params["staticIpName"])
        ended = [] if one.instance_id is None else detach(backend, transaction, call, one)
        ended.append(operations.begin(backend, call, one, ended=True))
        transaction.static_ips.remove(one)
        return operations.reply(backend, transaction, call, ended)


def get_static_ip(backend: Backend, call: Call) -> Result:
    """GetStaticIp."""
    with backend.catalog.read() as transaction:
        one = find_static_ip(transaction, call.region, call.params["staticIpName"])
    return {"staticIp": static_ip_view(backend, one)}


def get_static_ips(backend: Backend, call: Call) -> Result:
    """GetStaticIps: the API shows no tags of them, so what is another's is left out here."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.static_ips.page(call.region, after, pages.SIZE)
    own = [one for one in found if call.context.access.reaches(one.tags)]
    return {
        "staticIps": [static_ip_view(backend, one) for one in own],
        "nextPageToken": pages.token(more),
    }
