"""Servers on one PostgreSQL catalog: killed, stopped, cut off; no job lost, none done twice."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mooring.admin.demo.server import ServerProcess
from mooring.model.resources.job_kind import JobKind
from tests.catalog.postgresql import PostgreSQL
from tests.cluster import share_cluster_key
from tests.e2e.client import Client, RefusedError
from tests.e2e.processes import stands_still, until
from tests.e2e.sharing_server import MOMENTS

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

ZONE, OTHER_ZONE, WEST = "us-east-2a", "us-east-2b", "us-west-2"


class Servers:
    """Servers on one catalog, whose vaults are directories that all see."""

    def __init__(self, folder: Path, catalog: str) -> None:
        self.folder, self.catalog = folder, catalog
        self.started: list[ServerProcess] = []

    def start(
        self, name: str, *command: str, zones: tuple[str, ...] = (), refused: bool = False
    ) -> Client:
        """A server with the disks of these zones; all others are elsewhere."""
        config = self.folder / f"{name}.toml"
        text = f'catalog = "{self.catalog}"\nengine.kind = "memory"\nname = "{name}"\n'
        for region, its in (("us-east-2", [ZONE, OTHER_ZONE]), (WEST, ["us-west-2a"])):
            here = [one for one in its if one in zones]
            there = [one for one in its if one not in zones]
            text += f"[regions.{region}]\nzones = {here}\nelsewhere = {there}\n"
            text += f'vault = "{self.folder / "vaults" / region}"\n'
        config.write_text(text)
        share_cluster_key(self.folder / name)
        module = [sys.executable, "-m", "tests.e2e.sharing_server"]
        server = ServerProcess(self.folder / name, [*module, *command, "--config", str(config)])
        server.log = self.folder / f"{name}.log"
        self.started.append(server)
        server.start()
        return Client(server.environment())

    def steps(self, kind: JobKind) -> list[tuple[str, str]]:
        """Which server came to which moment of the jobs of a kind."""
        lines = (self.folder / "steps").read_text().splitlines()
        words = [line.split() for line in lines]
        return [(one[0], one[3]) for one in words if one[1] == kind]

    def close(self) -> None:
        for server in self.started:
            server.kill()


@pytest.fixture
def servers(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, postgresql.url())
    yield servers
    servers.close()


def create(client: Client, name: str, zone: str = ZONE) -> None:
    client.call("CreateDisk", diskName=name, availabilityZone=zone, sizeInGb=8)


def state(client: Client, name: str) -> str:
    return str(client.call("GetDisk", diskName=name)["disk"]["state"])


def _is_available(client: Client, name: str) -> bool:
    return state(client, name) == "available"


def snapshot(client: Client, name: str) -> None:
    create(client, "data")
    until(lambda: state(client, "data") == "available", "the disk")
    client.call("CreateDiskSnapshot", diskName="data", diskSnapshotName=name)
    until(lambda: _state_of(client, name) == "completed", "the snapshot")


def _state_of(client: Client, name: str) -> str:
    told = client.call("GetDiskSnapshot", diskSnapshotName=name)
    return str(told["diskSnapshot"]["state"])


def copy(client: Client) -> str:
    """Ask for a copy within the region; returns its operation."""
    told = client.call(
        "CopySnapshot",
        sourceSnapshotName="first",
        targetSnapshotName="second",
        sourceRegion="us-east-2",
    )
    return str(told["operations"][0]["id"])


def operation(client: Client, operation_id: str) -> str:
    told = client.call("GetOperation", operationId=operation_id)
    return str(told["operation"]["status"])


def test_any_server_answers_and_the_zones_server_makes_the_disk(servers: Servers) -> None:
    first = servers.start("one", zones=(ZONE,))
    second = servers.start("two", zones=(OTHER_ZONE,))
    third = servers.start("three")

    # By news: nobody looks again before half a minute has passed.
    create(third, "disk-a", ZONE)
    create(first, "disk-b", OTHER_ZONE)
    for client in (first, second, third):
        for name in ("disk-a", "disk-b"):
            until(partial(_is_available, client, name), "the disk")
    made = servers.steps(JobKind.CREATE_DISK)
    assert sorted({one for one, _ in made}) == ["one", "two"]
    # What needs the disk goes to its host, within the request.
    third.call("CreateDiskSnapshot", diskName="disk-a", diskSnapshotName="snap")
    until(lambda: _state_of(third, "snap") == "completed", "the snapshot")


FALLS = [(moment, "KILL") for moment in MOMENTS] + [
    (moment, "STOP") for moment in ("copy:begin", "commit:begin", "commit:done", "copy:done")
]


@pytest.mark.parametrize(("moment", "how"), FALLS)
def test_a_server_that_falls_is_followed_by_another(
    servers: Servers, moment: str, how: str
) -> None:
    """Whatever it had done by then, and also if it gets up again when all is over."""
    first = servers.start("one", "--copies", "no", zones=(ZONE,))
    snapshot(first, "first")
    servers.start("two", "--moment", moment, "--signal", how)
    two = servers.started[-1]
    asked = copy(first)
    until(lambda: _fallen(two), "the server to fall")
    third = servers.start("three")

    until(lambda: operation(third, asked) == "Succeeded", "the copy")
    assert _state_of(first, "second") == "completed"
    if how == "STOP":
        os.kill(two.pid, signal.SIGCONT)
        # PostgreSQL ends sessions that stand still in a transaction: then the thread sees that.
        signs = ("a job is given up here", "a thread failed")
        until(lambda: any(sign in two.log.read_text() for sign in signs), "two to see that it lost")
    recorded = [one for one, at in servers.steps(JobKind.COPY_SNAPSHOT) if at == "copy:recorded"]
    assert recorded == (["two"] if moment == "copy:recorded" else ["three"])
    assert _state_of(first, "second") == "completed"
    roots = (servers.folder / "vaults" / "us-east-2" / "roots").rglob("*")
    assert len([one for one in roots if one.is_file()]) == 2


def _fallen(server: ServerProcess) -> bool:
    return server.exit_code is not None or stands_still(server.pid)


def test_postgresql_is_restarted_below_two_servers(
    servers: Servers, postgresql: PostgreSQL
) -> None:
    first = servers.start("one", zones=(ZONE,))
    second = servers.start("two")
    snapshot(first, "first")
    postgresql.stop()
    with pytest.raises(RefusedError):
        create(second, "lost")
    postgresql.start()

    until(lambda: _accepted(second), "the catalog to be back")
    until(lambda: state(first, "again") == "available", "a disk")
    asked = copy(second)
    until(lambda: operation(second, asked) == "Succeeded", "the copy")
    recorded = [at for _, at in servers.steps(JobKind.COPY_SNAPSHOT) if at == "copy:recorded"]
    assert len(recorded) == 1


def _accepted(client: Client) -> bool:
    try:
        create(client, "again")
    except RefusedError:
        return False
    return True


def test_a_server_that_is_started_again_takes_its_own_jobs_over_at_once(servers: Servers) -> None:
    """Its former self's lease has not ended, and nobody else can do them."""
    first = servers.start("one", "--copies", "no", zones=(ZONE,))
    snapshot(first, "first")
    servers.start("two", "--moment", "copy:begin")
    two = servers.started[-1]
    asked = copy(first)
    until(lambda: _fallen(two), "the server to fall")

    again = servers.start("two")
    until(lambda: operation(again, asked) == "Succeeded", "the copy")
