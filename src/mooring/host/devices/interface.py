"""Disks as block devices of this host: what an implementation promises."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol


class Devices(Protocol):
    """Block devices, one for each disk attached to this host, by the disk's id.

    A device reads and writes what an NBD server offers at a URI. It does not need this process,
    and outlives a restart of the NBD server, for which its reads and writes wait. Every method
    may be called from any thread; each that changes something can be repeated.
    """

    def why_not(self) -> str:
        """Why there can be no devices here, for people; empty if there can."""
        ...

    def attach(self, disk_id: str, uri: str) -> str:
        """Make a device of what is served at the URI; returns its path.

        One that is there stays; one that is broken is recreated. Raises HostError, and
        DiskBusyError if the broken one is in use, so that it cannot be recreated yet.
        """
        ...

    def grow(self, disk_id: str, size: int) -> None:
        """Let the device have the size, in bytes, to which its disk has grown, mounted or not.

        No device, or one that does not work: nothing to do. Raises HostError.
        """
        ...

    def device(self, disk_id: str) -> str | None:
        """The path of the disk's device, also of a broken one; None if there is none."""
        ...

    def users(self, disk_id: str) -> str:
        """Who uses the device, for people: `mounted at /mnt`; empty if nobody does."""
        ...

    def problem(self, disk_id: str) -> str:
        """What is wrong with the device, and the way out; empty if it works, or is not there."""
        ...

    def known(self) -> Sequence[str]:
        """The ids of the disks that have a device, or of which something is left."""
        ...

    def detach(self, disk_id: str) -> None:
        """Write everything through and take the device away. None there: nothing to do.

        Raises DiskBusyError, which says who uses it, DiskAwayError while the NBD server is away,
        for ten minutes from the first try on, and HostError.
        """
        ...

    def leave(self, gone: Collection[str]) -> Mapping[str, str]:
        """Take away what an earlier process left of these disks.

        What is written through needs the NBD server. Where that is away, nobody waits for it: what
        was not written is lost. Returns what could not be done, by the disk's id.
        """
        ...

    def adopt(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """Have what is wanted, disk id to URI, with what an earlier process left.

        Those that work continue undisturbed. Returns what could not be done, by the disk's id.
        """
        ...
