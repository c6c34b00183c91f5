"""What serves attached disks to other hosts, as its users see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mooring.relay.ways import Way


class Relay(Protocol):
    """What serves attached disks to other hosts."""

    def uri(self, way: Way, disk: str) -> str:
        """Open the way; returns the URI of a disk. Raises ConfigurationError, DiskFullError."""

    def close_way(self, region: str, instance: str) -> None:
        """Let there be no way to the instance; its clients on other hosts are cut off."""

    def keep(self, wanted: Mapping[str, Way | None]) -> None:
        """Let the ways be these, by instance id; see that they are served. For a look now and then.

        Raises ConfigurationError.
        """

    def ways(self) -> Sequence[Way]:
        """The ways there are."""


class NoRelay:
    """For engines without sockets."""

    def uri(self, way: Way, disk: str) -> str:
        return f"nbds://localhost/{way.export(disk)}"

    def close_way(self, region: str, instance: str) -> None:
        """There is none."""

    def keep(self, wanted: Mapping[str, Way | None]) -> None:
        """There is nothing to keep."""

    def ways(self) -> Sequence[Way]:
        return ()
