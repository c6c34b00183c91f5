"""Decides whether a caller may do what it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.access import Access
from mooring.model.automatic.moment import bearer_of
from mooring.model.errors import AccessDeniedException
from mooring.model.names import is_name
from mooring.model.resources.consistency import AGENT_TAG
from mooring.model.tags import Tags
from mooring.service.answers.views import arn
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.entry import AnyEntry
from mooring.service.reach import out_of_reach

ALL = "*"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for; `action` as AWS writes it, such as `lightsail:GetDisk`."""

    context: Context
    action: str
    entry: AnyEntry
    params: Params

    @property
    def access(self) -> Access:
        return self.context.access


def admit(backend: Backend, request: Request) -> Backend:
    """Return the backend to answer with, whose catalog notes the request if it is to be noted.

    Raises AccessDeniedException.

    Tags of resources are looked at within the transactions of the answer itself, so that nobody
    can change them in between.
    """
    access = request.access
    if not access.role.allows(request.entry.need):
        raise denied(backend, request, ALL, f"The role of this key is {access.role}, which cannot.")
    if request.context.note is not None:
        backend = replace(backend, catalog=backend.catalog.noting(request.context.note))
    if not access.tags:
        return backend
    if request.entry.shared:
        raise denied(
            backend,
            request,
            ALL,
            "It is shared by the whole region: only a key that is not bound to tags can have it.",
        )
    _check_request_tags(backend, request)
    if not request.entry.on:
        return backend

    def check(transaction: Transaction) -> None:
        _check_resources(backend, request, transaction)

    return replace(backend, catalog=backend.catalog.guarded(check))


def shown_to(access: Access, result: Mapping[str, Any]) -> dict[str, Any]:
    """The result without the resources that bear tags and are not this caller's."""
    if not access.tags:
        return dict(result)
    return {name: _without_others(access, value) for name, value in result.items()}


def _without_others(access: Access, value: Any) -> Any:
    """The value with the lists in it, at any depth, without what is not this caller's."""
    if isinstance(value, list):
        return [_without_others(access, one) for one in value if _is_shown(access, one)]
    if isinstance(value, Mapping):
        # The same value where nothing is left out: what it is written as is kept with it.
        less = {name: _without_others(access, one) for name, one in value.items()}
        return value if less == value else less
    return value


def _is_shown(access: Access, value: object) -> bool:
    if not isinstance(value, Mapping) or "tags" not in value:
        return True
    return access.reaches({tag["key"]: tag.get("value") for tag in value["tags"]})


def _check_request_tags(backend: Backend, request: Request) -> None:
    """What is made must have the tags; those that are there must keep them."""
    access, params = request.access, request.params
    given = _tags_of(params.get("tags"))
    if AGENT_TAG in given:
        raise denied(
            backend,
            request,
            ALL,
            f"The tag {AGENT_TAG} names a socket of the server's host, which may be somebody "
            "else's guest: only a key that is not bound to tags can set it.",
        )
    given_for = request.entry.makes and not request.entry.inherits
    if given_for and not access.reaches(given):
        raise denied(backend, request, ALL, f"The request must give the tags {_listed(access)}.")
    removed = set(params.get("tagKeys") or []) & access.tags.keys()
    if access.unbinds(given) or removed:
        raise denied(backend, request, ALL, f"This key must not change the tags {_listed(access)}.")


def _tags_of(items: Any) -> Tags:
    return {str(tag.get("key", "")): tag.get("value") for tag in items or []}


def _check_resources(backend: Backend, request: Request, transaction: Transaction) -> None:
    region = str(request.params.get(request.entry.region) or request.context.region)
    for name in _names(request):
        found = transaction.names.find(region, name)
        if found is None:
            continue  # the answer will be that it does not exist
        kind, resource_id = found
        # It is not told which: ids are for those who may see the resource.
        resource = arn(backend, region, kind, ALL)
        only = f"This key acts only on resources with the tags {_listed(request.access)}"
        if not request.access.reaches(transaction.tags.of([resource_id])[resource_id]):
            raise denied(backend, request, resource, f"{only}.")
        through = request.entry.through
        other = out_of_reach(transaction, request.access, through, kind, resource_id)
        if other is not None:
            raise denied(backend, request, resource, f"{only}, and not {other} have them.")


def _names(request: Request) -> Iterator[str]:
    """The names of resources that the request is about; what cannot be one is left out.

    An automatic snapshot is its disk's, and a part its whole's: that is what must be the caller's.
    """
    for member in request.entry.on:
        value = request.params.get(member)
        names = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        found = (bearer_of(name) for name in names if isinstance(name, str))
        yield from (name for name in found if is_name(name))


def denied(backend: Backend, request: Request, resource: str, why: str) -> AccessDeniedException:
    """The error for what the caller may not do, in AWS's words, and why."""
    user = f"arn:aws:iam::{backend.account_id}:user/{request.access.user}"
    return AccessDeniedException(
        f"User: {user} is not authorized to perform: {request.action} on resource: {resource} "
        f"because no identity-based policy allows the {request.action} action. {why}"
    )


def _listed(access: Access) -> str:
    return ", ".join(f"{key}={value}" for key, value in access.tags.items())
