"""A server as a value: who it is, for other servers and for people."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server. Its `id` is its data directory's for good; `lanes` has the threads of each lane."""

    id: str
    name: str = ""
    host: str = ""
    version: str = ""
    lanes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reach:
    """What jobs a server can run beside others: of its regions, and not of zones elsewhere."""

    regions: Collection[str]
    elsewhere: Collection[str]


SILENT_MS = 30_000
"""A server that was not heard of for so long may be dead; it tells of itself thrice as often."""

UNNAMED = Server(id="here")
"""A server that nobody else needs to know."""


@dataclass(frozen=True, slots=True)
class SeenServer:
    """What the catalog knows of a server: for how long it has not been heard of, how long it had
    run by then, and whether it ended in order."""

    server: Server
    silent_ms: int
    lived_ms: int
    ended: bool

    @property
    def is_silent(self) -> bool:
        """Whether it is neither heard of nor has ended in order."""
        return not self.ended and self.silent_ms > SILENT_MS
