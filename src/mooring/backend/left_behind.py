"""What lies on this host of disks that are another's by now."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.backend.backend import Backend
from mooring.model.errors import EngineError
from mooring.model.resources.job_kind import JobKind


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Layers of a disk that was restored elsewhere while this host was lost."""

    disk_id: str
    name: str
    zone: str
    host: str

    def __str__(self) -> str:
        return (
            f"disk {self.name} in {self.zone}: was moved to {self.host}; what lies here of it is "
            "not served, and may hold what was written after the snapshot that it was restored "
            f"from. Keep it for that, or remove zones/{self.zone}/disks/{self.disk_id} in the "
            "data directory"
        )


def left_behind(backend: Backend) -> list[LeftBehind]:
    """Those of all zones; what is about to be removed is none."""
    if not backend.host:
        return []
    found: list[LeftBehind] = []
    with backend.catalog.read() as transaction:
        jobs = transaction.jobs.of_server(backend.host)
        leaving = {job.arguments.at for job in jobs if job.kind is JobKind.DELETE_DISK}
    for zone, engine in list(backend.engines.items()):
        if engine.shared:
            continue  # what lies there is every host's
        try:
            # Not by their descriptions: a host that fell may have written none yet.
            ids = [one for one in engine.disks() if one not in leaving]
        except EngineError:
            continue  # which doctor tells of each disk
        with backend.catalog.read() as transaction:
            disks = transaction.disks.among(ids)
        for disk in disks:
            if disk.host not in ("", backend.host):
                seen = backend.hosts.find(disk.host)
                name = disk.host if seen is None else seen.host.name
                found.append(LeftBehind(disk.id, disk.name, zone, name))
    return found
