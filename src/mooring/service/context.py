"""Who asks, where, and when: what a request brings besides its input."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.catalog.sharing.audit_lines import Note
from mooring.model.access import UNBOUND, Access


@dataclass(frozen=True, slots=True)
class Context:
    """The frame of one request.

    `caller` is the access key id, and `access` what it may do; `invocation_id` is what a client
    sends alike with each of its tries (the header `amz-sdk-invocation-id`), if it sends it;
    `received_ms` is when the server had the request; `note` is what the catalog is to have of it.
    """

    region: str
    caller: str
    request_id: str
    invocation_id: str | None
    received_ms: int
    access: Access = UNBOUND
    note: Note | None = None
