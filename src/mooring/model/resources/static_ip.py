"""A static IP as a value: an address to attach to instances."""

from __future__ import annotations

from dataclasses import dataclass, field

from mooring.model.addresses import public_address
from mooring.model.tags import Tags

MAX_STATIC_IPS = 5
"""In a region, as on the real service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticIp:
    """A static IP. Times are milliseconds.

    `instance_id` and `instance_name` are None while it is not attached. The API does not show its
    `tags`: they only say whose it is.
    """

    id: str
    region: str
    name: str
    created_ms: int
    slot: int
    instance_id: str | None = None
    instance_name: str | None = None
    tags: Tags = field(default_factory=dict)

    @property
    def address(self) -> str:
        return public_address(self.slot)
