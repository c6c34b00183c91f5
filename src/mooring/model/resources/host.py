"""A host as a value: where layers of disks are, and who serves them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from mooring.model.counts import counted

HOST_TAG = "mooring:host"
"""On what is made: the name of the host that it shall be on. What is told bears that of its own."""

SILENT_MS = 10_000
"""After so long without a word a host counts as dead; it speaks thrice in that time."""


class HostState(StrEnum):
    """What is recorded of a host. `ended`: in order; its disks are served, and nobody can ask."""

    UP = "up"
    ENDED = "ended"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host. Its `id` is that of its server.

    It serves `zones`. The disks of `shared_zones` lie where other hosts of the zone reach them,
    too; also those that it has yet in zones that it serves no more.
    """

    id: str
    name: str = ""
    zones: Collection[str] = ()
    address: str = ""
    version: str = ""
    shared_zones: Collection[str] = ()

    @property
    def touched_zones(self) -> set[str]:
        """In which it may write to layers."""
        return {*self.zones, *self.shared_zones}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHost:
    """What the catalog knows of a host, and for how long it has not been heard of.

    `read_ms` is when that was read, by the catalog's clock.
    """

    host: Host
    state: HostState
    generation: int
    silent_ms: int
    read_ms: int = 0
    capacity_bytes: int = 0
    free_bytes: int = 0

    @property
    def is_silent(self) -> bool:
        return self.state is HostState.UP and self.silent_ms > SILENT_MS

    @property
    def is_up(self) -> bool:
        """Whether something can be asked of it."""
        return self.state is HostState.UP and not self.is_silent

    @property
    def shown(self) -> str:
        """Its state, for people."""
        return "silent" if self.is_silent else str(self.state)

    @property
    def problem(self) -> str | None:
        """Why nobody knows how its disks are; None if they are as recorded."""
        name = self.host.name
        if self.state is HostState.FENCED:
            return (
                f"its host {name} was fenced: `mooringd restore-host {name}` restores what it had "
                "elsewhere"
            )
        if self.is_silent:
            silent = counted(self.silent_ms // 1000, "second")
            return (
                f"its host {name} has not been heard of for {silent}: start it again or, if it is "
                f"lost, see `mooringd fence {name}`"
            )
        return None
