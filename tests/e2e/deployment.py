"""A server with disks, and what tests do with it."""

from __future__ import annotations

import contextlib
import string
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mooring.admin.demo.server import ServerProcess
from tests.e2e import processes
from tests.e2e.client import Client, RefusedError
from tests.e2e.crew import Asked, Crew
from tests.e2e.processes import PATIENCE, until

ZONE = "us-east-2a"

SHARED = [{"key": "mooring:shared", "value": "true"}]
"""For disks that several processes use: the writers of a crew, and whoever looks on."""


class Deployment:
    """One data directory and the server on it. In the end call `close`."""

    def __init__(self, folder: Path, config: Path | None = None) -> None:
        """`config` is a file with the server's settings, if they are not the defaults."""
        self.folder = folder
        self.settings = [] if config is None else ["--config", str(config)]
        self.data = folder / "d"
        self.server = ServerProcess(self.data)
        self._servers: list[ServerProcess] = []
        self._crews: list[Crew] = []
        self._client: Client | None = None
        self._paths: dict[str, str] = {}

    # --- processes

    def start(self, *command: str) -> None:
        """Start the server, by `command` if given, and wait until it answers."""
        self.server = ServerProcess(self.data, command or None, settings=self.settings)
        # The data directory is the server's to make.
        self.server.log = self.folder / "server.log"
        self._servers.append(self.server)
        self.server.start()
        self._client = Client(self.server.environment())

    def daemons(self) -> dict[str, int]:
        """The pids of the storage daemons that run, by the names of their folders."""
        found = {}
        for name, daemon in processes.storage_daemons(self.data / "run").items():
            found[name] = daemon.pid
            daemon.close()
        return found

    def crew(self, uri: str, *ranges: range, **options: Any) -> Crew:
        """Start writers on a disk, one process for each range of blocks."""
        crew = Crew(self.folder / f"crew-{len(self._crews)}", uri, ranges, **options)
        self._crews.append(crew)
        crew.begin()
        return crew

    def close(self) -> None:
        """End every process, in whatever state they are."""
        for crew in self._crews:
            crew.stop()
        # The server first: it would start the storage daemons again.
        for server in self._servers:
            server.kill()
        processes.end_all(self.data)

    # --- resources

    def call(self, operation: str, **members: object) -> Any:
        """As Client.call."""
        assert self._client is not None
        return self._client.call(operation, **members)

    def act(self, action: str, **members: object) -> Any:
        """As Client.act."""
        assert self._client is not None
        return self._client.act(action, **members)

    def disk(self, name: str) -> None:
        """Make a disk."""
        self.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8, tags=SHARED)
        self.until_disk(name, "state", "available")

    def instance(self, name: str, blueprint: str | None = None) -> None:
        """Register an instance, or make one of the blueprint, unless it is there."""
        if name in {one["name"] for one in self.call("GetInstances")["instances"]}:
            return
        self.call(
            "CreateInstances",
            instanceNames=[name],
            availabilityZone=ZONE,
            blueprintId=blueprint or "external",
            bundleId="external",
        )
        until(lambda: self._instance_state(name) == "running", f"{name} to run")

    def attach(self, disk: str, instance: str) -> str:
        """Attach a disk; returns its NBD URI."""
        used = self._paths.values()
        path = next(
            path for letter in string.ascii_lowercase if (path := f"/dev/xvd{letter}") not in used
        )
        self._paths[disk] = path
        self.call("AttachDisk", diskName=disk, instanceName=instance, diskPath=path)
        self.until_disk(disk, "attachmentState", "attached")
        return str(self.server.ask("uri", diskName=disk)["uri"])

    def used_disk(self, disk: str = "data", instance: str = "host") -> str:
        """A disk attached to an instance; returns its NBD URI."""
        self.disk(disk)
        self.instance(instance)
        return self.attach(disk, instance)

    def grow(self, disk: str, size_gb: int) -> None:
        """Make a disk larger, and wait until it is."""
        self.act("grow", diskName=disk, sizeInGb=size_gb)
        self.until_disk(disk, "sizeInGb", size_gb)

    def detach(self, disk: str) -> None:
        """Detach a disk, as soon as the clients that have just left are gone."""

        def accepted() -> bool:
            try:
                self.call("DetachDisk", diskName=disk)
            except RefusedError as error:
                if error.type != "OperationFailureException":
                    raise
                return False
            return True

        until(accepted, f"{disk} to be free of clients")
        self._paths.pop(disk, None)
        self.until_disk(disk, "state", "available")

    def until_disk(self, name: str, member: str, wanted: str | int) -> None:
        """Wait until a disk is as wanted."""

        def reached() -> bool:
            found = self.call("GetDisk", diskName=name)["disk"]
            assert found["state"] != "error", f"the disk {name} went to error"
            return bool(found.get(member) == wanted)

        until(reached, f"{name}: {member} {wanted}")

    def _instance_state(self, name: str) -> str:
        return str(self.call("GetInstanceState", instanceName=name)["state"]["name"])

    # --- snapshots

    def snapshot(self, name: str, disk: str = "data") -> Asked:
        """Ask for a snapshot, and note when."""
        requested = time.monotonic()
        answer = self.call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=name)
        replied = time.monotonic()
        assert [one["status"] for one in answer["operations"]] == ["Started", "Started"]
        return Asked(name, requested, replied)

    def states(self) -> dict[str, str]:
        """The states of all snapshots, by name."""
        found: dict[str, str] = {}
        answer = self.call("GetDiskSnapshots")
        while True:
            found |= {one["name"]: one["state"] for one in answer["diskSnapshots"]}
            if not answer.get("nextPageToken"):
                return found
            answer = self.call("GetDiskSnapshots", pageToken=answer["nextPageToken"])

    def ended(self, *names: str) -> list[str]:
        """Wait until the snapshots are pending no longer; returns their states."""
        until(
            lambda: "pending" not in [self.states()[name] for name in names],
            f"{', '.join(names)} to end",
            2 * PATIENCE,
        )
        states = self.states()
        return [states[name] for name in names]

    def statuses(self, resource: str) -> list[str]:
        """The statuses of the operations on a resource, newest first."""
        found = self.call("GetOperationsForResource", resourceName=resource)["operations"]
        return [one["status"] for one in found]

    @contextlib.contextmanager
    def restored(self, *snapshots: str, size_gb: int = 8) -> Iterator[Sequence[str]]:
        """Disks made from snapshots and attached, as NBD URIs; deleted at the end."""
        self.instance("reader")
        disks = [f"from-{snapshot}" for snapshot in snapshots]
        for snapshot, disk in zip(snapshots, disks, strict=True):
            self.call(
                "CreateDiskFromSnapshot",
                diskName=disk,
                diskSnapshotName=snapshot,
                availabilityZone=ZONE,
                sizeInGb=size_gb,
                tags=SHARED,
            )
        for disk in disks:
            self.until_disk(disk, "state", "available")
        yield [self.attach(disk, "reader") for disk in disks]
        for disk in disks:
            self.detach(disk)
            self.call("DeleteDisk", diskName=disk)

    def check(self, crew: Crew, *snapshots: Asked, size_gb: int = 8) -> None:
        """Restore snapshots and compare each with what the crew had written."""
        with self.restored(*[one.name for one in snapshots], size_gb=size_gb) as uris:
            for asked, uri in zip(snapshots, uris, strict=True):
                verdict = crew.compare(uri, asked)
                assert verdict.ok, f"{asked.name}: {verdict.wrong}"
                assert verdict.written > 0
