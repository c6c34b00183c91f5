"""An instance as a value: the place where disks are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mooring.model.automatic.rules import AddOn
from mooring.model.resources.firewall import Ports
from mooring.model.tags import Tags


class InstanceState(Enum):
    """The states of the API with their codes."""

    PENDING = (0, "pending")
    RUNNING = (16, "running")
    STOPPING = (64, "stopping")
    STOPPED = (80, "stopped")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def label(self) -> str:
        return self.value[1]

    @classmethod
    def of(cls, label: str) -> InstanceState:
        """The state with that label. Raises KeyError."""
        return {state.label: state for state in cls}[label]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance. Times are milliseconds.

    `metadata_options` and `ports` are only kept for clients that read them back.
    `add_on` is that of automatic snapshots, None if it never was enabled. `slot` says which
    addresses it has, None while the catalog does not have it, and `static_slot` which static IP
    is attached. `host` is where its disks are, as of a disk.
    """

    id: str
    region: str
    zone: str
    name: str
    created_ms: int
    support_code: str
    blueprint_id: str
    bundle_id: str
    state: InstanceState = InstanceState.PENDING
    key_pair: str | None = None
    ip_address_type: str = "ipv4"
    metadata_options: Mapping[str, Any] | None = None
    ports: list[Ports] = field(default_factory=list)
    add_on: AddOn | None = None
    slot: int | None = field(default=None, compare=False)
    static_slot: int | None = None
    host: str = ""
    tags: Tags = field(default_factory=dict)
