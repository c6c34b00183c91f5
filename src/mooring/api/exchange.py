"""One request on its way through the steps, with what each has found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from mooring.api.buckets import Throttles
from mooring.api.shared_audit import SharedAudit
from mooring.api.workers import Workers
from mooring.catalog.sharing.audit_lines import Note
from mooring.config.settings import Limits
from mooring.model.access import UNBOUND, Access
from mooring.model.clock import Clock
from mooring.model.errors import HostElsewhereException, ServiceError
from mooring.model.ids import Ids
from mooring.observe.audit import AuditLog
from mooring.protocol.service_model import ServiceModel
from mooring.service.context import Context
from mooring.service.credentials.keys import Key
from mooring.service.entry import AnyEntry
from mooring.service.own.own_request import OwnRequest

Handler = Callable[[Context, Mapping[str, Any]], Mapping[str, Any]]

LONGEST_INVOCATION_ID = 128
"""Characters; SDKs send UUIDs. Longer ones are taken for none: they would be kept for retries."""


class Onward(Protocol):
    """The way to the servers of other hosts, and from them."""

    async def arrive(self, exchange: Exchange) -> None:
        """Note who passed the request on, if a server did."""
        ...

    async def pass_on(self, exchange: Exchange, needed: HostElsewhereException) -> Response:
        """What the host answers that has what is needed."""
        ...

    async def ask(
        self, exchange: Exchange, key: Key, needed: HostElsewhereException
    ) -> Mapping[str, Any] | ServiceError:
        """The same for a page that asks with its visitor's key: the answer's members, or why not.

        Raises ServiceError if there is no answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the front door needs to know.

    `handlers` by operation; `own_requests` are Mooring's own, by name, and `own_handlers` answer
    them; `find_key` gives the key of an access key id, None for an unknown one; `entries` say what
    operations and own requests need; `workers` call the handlers; `note_use` is told the id of the
    key of each request that had one; `onward` leads to other hosts.
    """

    model: ServiceModel
    handlers: Mapping[str, Handler]
    own_requests: Mapping[str, OwnRequest]
    own_handlers: Mapping[str, Handler]
    find_key: Callable[[str], Key | None]
    regions: Collection[str]
    clock: Clock
    ids: Ids
    limits: Limits
    workers: Workers
    throttles: Throttles
    entries: Mapping[str, AnyEntry]
    audit: AuditLog | None
    shared_audit: SharedAudit | None
    note_use: Callable[[str], None]
    onward: Onward | None = None


@dataclass(slots=True)
class Exchange:
    """What is known of a request. Each step may rely on those before it.

    `body_is_read` is whether the next request on the connection can follow. `passed_by` is the
    server that passed it on, which had it from the address `source`; empty if none did.
    """

    door: Door
    request: Request
    request_id: str
    received_ms: int
    body: bytes = b""
    body_is_read: bool = False
    passed_by: str = ""
    source: str = ""
    operation: str = ""
    caller: str = ""
    access: Access = UNBOUND
    region: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    reply: bytes = b""
    note: Note | None = None

    @property
    def context(self) -> Context:
        """The frame for the service."""
        invocation_id = self.request.headers.get("amz-sdk-invocation-id", "")
        return Context(
            region=self.region,
            caller=self.caller,
            request_id=self.request_id,
            invocation_id=(
                invocation_id if 0 < len(invocation_id) <= LONGEST_INVOCATION_ID else None
            ),
            received_ms=self.received_ms,
            access=self.access,
            note=self.note,
        )
