"""Tags: putting them on resources and taking them off."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException
from mooring.model.names import shown
from mooring.model.resources.consistency import CONSISTENCY_TAG, read_given_tags, without_own
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import HOST_TAG
from mooring.model.resources.instance import Instance
from mooring.model.tags import Tags, check_count
from mooring.service.answers import operations, views
from mooring.service.automatic.add_ons import follow_tags
from mooring.service.call import Call, Result
from mooring.service.finding import find_resource
from mooring.taking.rest import check_agent


def tag_resource(backend: Backend, call: Call) -> Result:
    """TagResource: new values replace old ones of the same key."""
    with backend.catalog.write() as transaction:
        resource = _find(backend, transaction, call)
        added = read_given_tags(operations.type_of(resource), call.params["tags"])
        check_agent(backend, added)
        told = views.with_host(backend, resource) if isinstance(resource, Disk | Instance) else {}
        # Tools that bring tags in line put on again what they were told.
        if HOST_TAG in added and added[HOST_TAG] != told.get(HOST_TAG):
            raise InvalidInputException(
                f"The tag {HOST_TAG} chooses a host for what is being made. To change it, use "
                "`mooring move-instance`, or `mooring move-disk`."
            )
        tags = {**resource.tags, **added}
        check_count(without_own(tags))
        transaction.tags.replace(resource.id, tags)
        _follow(backend, transaction, resource, tags)
        ended = [operations.begin(backend, call, resource, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def untag_resource(backend: Backend, call: Call) -> Result:
    """UntagResource: keys that are not there do not matter."""
    with backend.catalog.write() as transaction:
        resource = _find(backend, transaction, call)
        # Tools that bring tags in line take off whatever they do not know: this one stays.
        gone = set(call.params["tagKeys"]) - {CONSISTENCY_TAG}
        transaction.tags.remove(resource.id, gone)
        left = {key: value for key, value in resource.tags.items() if key not in gone}
        _follow(backend, transaction, resource, left)
        ended = [operations.begin(backend, call, resource, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def _follow(
    backend: Backend, transaction: Transaction, resource: operations.Resource, tags: Tags
) -> None:
    """Do what the tags say. Raises InvalidInputException."""
    if isinstance(resource, Disk | Instance):
        follow_tags(backend, transaction, resource, tags)


def _find(backend: Backend, transaction: Transaction, call: Call) -> operations.Resource:
    name = call.params["resourceName"]
    kind, resource = find_resource(transaction, call.region, name)
    wanted = call.params.get("resourceArn")
    if wanted and wanted != views.arn(backend, call.region, kind, resource.id):
        raise InvalidInputException(f"The ARN {shown(wanted)} is not that of the resource {name}.")
    return resource
