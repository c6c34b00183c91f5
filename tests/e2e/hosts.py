"""Servers and hosts on one catalog on PostgreSQL, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mooring.admin.demo.server import ServerProcess
from tests.cluster import share_cluster_key
from tests.e2e.client import Client, RefusedError
from tests.e2e.processes import until

ZONE = "us-east-2a"


class Cluster:
    """Servers that share keys and a vault in a directory; each has a data directory of its own."""

    def __init__(self, folder: Path, catalog: str, engine: str = "memory", more: str = "") -> None:
        """`more` is what the settings of hosts have besides, and `of_engine` those of engines."""
        self.folder, self.catalog, self.engine, self.more = folder, catalog, engine, more
        self.of_engine = ""
        self.servers: dict[str, ServerProcess] = {}

    def start(self, name: str, *options: str, host: bool = True) -> Client:
        """A server; as a host it has disks of the zone, otherwise none."""
        config = self.folder / f"{name}.toml"
        zones = "zones" if host else "elsewhere"
        config.write_text(
            f'catalog = "{self.catalog}"\nname = "{name}"\n'
            f'[engine]\nkind = "{self.engine}"\n{self.of_engine}'
            "[room]\nmargin_mib = 1\n"
            f'[regions.us-east-2]\n{zones} = ["{ZONE}"]\nvault = "{self.folder / "vault"}"\n'
            + (self.more if host else "")
        )
        data = self.folder / name
        share_cluster_key(data)
        module = [sys.executable, "-m", "tests.e2e.host_server", *options, "--config", str(config)]
        server = ServerProcess(data, module)
        server.log = self.folder / f"{name}.log"
        self.servers[name] = server
        server.start()
        return Client(server.environment())

    def operator(self, name: str, *command: str) -> tuple[int, str]:
        """Exit code and output of `mooringd` with the settings of a server."""
        config = ["--config", str(self.folder / f"{name}.toml"), "--data", str(self.folder / name)]
        done = subprocess.run(
            [sys.executable, "-m", "mooring.admin.main", *command, *config],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def kill(self, name: str) -> None:
        self.servers[name].kill()

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """A server that stands still, as a suspended machine does."""
        pid = self.servers[name].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def steps(self, told: str) -> list[str]:
        """Which server came to that moment, each time."""
        lines = (self.folder / "steps").read_text().splitlines()
        return [line.split()[0] for line in lines if line.split()[2] == told]

    def close(self) -> None:
        for server in self.servers.values():
            with suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGCONT)
            server.kill()


def create_disk(client: Client, name: str, host: str = "") -> None:
    """A disk, once it is there; on that host, if one is named."""
    tags = [{"key": "mooring:host", "value": host}] if host else []
    client.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8, tags=tags)
    until(lambda: disk(client, name)["state"] == "available", f"the disk {name}")


def create_instance(client: Client, name: str, host: str = "") -> None:
    tags = [{"key": "mooring:host", "value": host}] if host else []
    client.call(
        "CreateInstances",
        instanceNames=[name],
        availabilityZone=ZONE,
        blueprintId="external",
        bundleId="external",
        tags=tags,
    )
    until(lambda: instance(client, name)["state"]["name"] == "running", f"the instance {name}")


def attach(client: Client, disk_name: str, instance_name: str, path: str = "/dev/xvdf") -> None:
    client.call("AttachDisk", diskName=disk_name, instanceName=instance_name, diskPath=path)
    until(lambda: disk(client, disk_name)["isAttached"], f"{disk_name} at {instance_name}")


def disk(client: Client, name: str) -> Any:
    return client.call("GetDisk", diskName=name)["disk"]


def instance(client: Client, name: str) -> Any:
    return client.call("GetInstance", instanceName=name)["instance"]


def host_of(told: Any) -> str:
    """On which host a disk or an instance is, by its tag."""
    return str({one["key"]: one["value"] for one in told["tags"]}["mooring:host"])


def uri(client: Client, name: str) -> str:
    """Where a disk is served."""
    return str(client.send("GET", f"/mooring/uri?diskName={name}", {}, b"")["uri"])


def turn(client: Client, name: str, operation: str, state: str) -> None:
    """Start or stop an instance, and wait until it is."""
    client.call(operation, instanceName=name)
    until(lambda: instance(client, name)["state"]["name"] == state, f"{name} to be {state}")


def operation(client: Client, operation_id: str) -> Any:
    return client.call("GetOperation", operationId=operation_id)["operation"]


def moved(client: Client, asked: str) -> None:
    """Wait for the move whose operation has that id."""
    until(lambda: operation(client, asked)["isTerminal"], "the move")
    found = operation(client, asked)
    assert found["status"] == "Succeeded", found


def snapshot_state(client: Client, name: str) -> str:
    found = client.call("GetDiskSnapshot", diskSnapshotName=name)
    return str(found["diskSnapshot"]["state"])


def is_refused(client: Client, operation: str, **members: object) -> str:
    """Why a request is refused; empty if it is not."""
    try:
        client.call(operation, **members)
    except RefusedError as error:
        return str(error)
    return ""
