"""The disks of the soak, and their instances."""

from __future__ import annotations

from bench.soak_snapshots import system_of
from bench.soak_writer import Stage
from tests.e2e.deployment import Deployment

DISKS = {"data": "db", "logs": "db", "index": "db", "mail": "mx", "mx-system": "mx"}
BLUEPRINT = "empty"
BLUEPRINT_BYTES = 8 * 1024**3


def is_system(disk: str) -> bool:
    return disk == system_of(DISKS[disk])


def has_system(instance: str) -> bool:
    return system_of(instance) in DISKS


def make_disks(deployment: Deployment, stage: Stage) -> None:
    """Make them with their instances, attached."""
    image = deployment.folder / "empty.raw"
    with image.open("wb") as file:
        file.truncate(BLUEPRINT_BYTES)
    words = ("--format", "raw", "--blueprint-id", BLUEPRINT)
    deployment.server.run("mooring", "import", str(image), *words)
    for disk, instance in DISKS.items():
        if not is_system(disk):
            deployment.disk(disk)
            deployment.instance(instance, BLUEPRINT if has_system(instance) else None)
            stage.uris[disk] = deployment.attach(disk, instance)
    for disk, instance in DISKS.items():
        if is_system(disk):
            uri = deployment.server.ask("uri", instanceName=instance)["uri"]
            stage.uris[disk] = str(uri)
