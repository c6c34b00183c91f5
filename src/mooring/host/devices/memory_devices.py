"""Imitation devices, for tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mooring.model.errors import DiskAwayError, DiskBusyError, HostError


class MemoryDevices:
    """`mounts` tells where devices are mounted, by the disk's id; `broken` which do not work, and
    `away` of which the NBD server is away.

    `sizes` has those of devices that have grown.
    """

    def __init__(self, why_not: str = "") -> None:
        self.reason = why_not
        self.uris: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.mounts: dict[str, str] = {}
        self.broken: set[str] = set()
        self.away: set[str] = set()
        self._paths: dict[str, str] = {}

    def why_not(self) -> str:
        return self.reason

    def attach(self, disk_id: str, uri: str) -> str:
        if self.reason:
            raise HostError(self.reason)
        if disk_id in self.broken and disk_id in self.mounts:
            raise DiskBusyError(self.problem(disk_id))
        self.broken.discard(disk_id)
        self.uris.setdefault(disk_id, uri)
        return self._paths.setdefault(disk_id, f"/dev/mem{len(self._paths)}")

    def grow(self, disk_id: str, size: int) -> None:
        if disk_id in self.uris:
            self.sizes[disk_id] = size

    def device(self, disk_id: str) -> str | None:
        return self._paths[disk_id] if disk_id in self.uris else None

    def users(self, disk_id: str) -> str:
        return f"mounted at {self.mounts[disk_id]}" if disk_id in self.mounts else ""

    def problem(self, disk_id: str) -> str:
        if disk_id not in self.broken:
            return ""
        return f"it does not work; {self.users(disk_id) or 'nobody uses it'}"

    def known(self) -> Sequence[str]:
        return list(self.uris)

    def detach(self, disk_id: str) -> None:
        if users := self.users(disk_id):
            raise DiskBusyError(f"{self._paths[disk_id]} is {users}")
        if disk_id in self.uris and disk_id in self.away:
            raise DiskAwayError(f"{self._paths[disk_id]} cannot be written through")
        self.uris.pop(disk_id, None)
        self.broken.discard(disk_id)

    def leave(self, gone: Collection[str]) -> Mapping[str, str]:
        problems = {}
        for disk_id in gone:
            self.away.discard(disk_id)
            try:
                self.detach(disk_id)
            except DiskBusyError as error:
                problems[disk_id] = str(error)
        return problems

    def adopt(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        problems = {}
        for disk_id, uri in wanted.items():
            try:
                self.attach(disk_id, uri)
            except (DiskBusyError, HostError) as error:
                problems[disk_id] = str(error)
        return problems
