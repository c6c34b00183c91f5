"""Servers of two versions on one catalog, upgraded one after the other."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

import mooring
import mooring.version
from mooring.admin.demo.server import DemoError, ServerProcess
from mooring.catalog.database import Catalog
from tests.catalog.postgresql import PostgreSQL
from tests.cluster import share_cluster_key
from tests.e2e.client import Client
from tests.e2e.processes import until

pytestmark = pytest.mark.full

ZONES = {"one": "us-east-2a", "two": "us-east-2b"}


class Installation:
    """Servers by name, each of this version or of the next one."""

    def __init__(self, folder: Path, catalog: str) -> None:
        self.folder, self.catalog = folder, catalog
        self.servers: dict[str, ServerProcess] = {}
        self.newer = _next_version(folder / "next")

    def start(self, name: str, *, newer: bool = False) -> Client:
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'catalog = "{self.catalog}"\nname = "{name}"\nengine.kind = "memory"\n'
            f'[regions.us-east-2]\nzones = ["{ZONES[name]}"]\nvault = "{self.folder / "vault"}"\n'
        )
        share_cluster_key(self.folder / name)
        program = ["env", f"PYTHONPATH={self.newer}"] if newer else []
        command = [*program, sys.executable, "-P", "-m", "mooring.admin.main", "serve"]
        server = ServerProcess(
            self.folder / name, [*command, "--port", "0", "--config", str(config)]
        )
        server.log = self.folder / f"{name}.log"
        self.servers[name] = server
        server.start()
        return Client(server.environment())

    def versions(self) -> dict[str, str]:
        catalog = Catalog(self.catalog)
        with catalog.read() as transaction:
            found = {one.server.name: one.server.version for one in transaction.servers.all(0)}
        catalog.close()
        return found

    def tables(self) -> set[str]:
        engine = create_engine(self.catalog)
        found = set(inspect(engine).get_table_names())
        engine.dispose()
        return found

    def close(self) -> None:
        for server in self.servers.values():
            server.kill()


def _next_version(folder: Path) -> Path:
    """This program as its next version: it has a column and a table more, and one less."""
    shutil.copytree(
        Path(mooring.__file__).parent,
        folder / "mooring",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (folder / "mooring" / "version.py").write_text('"""Which."""\n\nVERSION = "99.0.0"\n')
    migrations = folder / "mooring" / "catalog" / "migrations"
    (migrations / "9001_color.sql").write_text(
        "ALTER TABLE disks ADD COLUMN color TEXT NOT NULL DEFAULT 'grey';\n"
        "CREATE TABLE shapes (name TEXT)\n"
    )
    (migrations / "9002_contract_join_secrets.sql").write_text("DROP TABLE join_secrets\n")
    return folder


@pytest.fixture
def installation(tmp_path: Path, postgresql: PostgreSQL) -> Iterator[Installation]:
    installation = Installation(tmp_path, postgresql.url())
    yield installation
    installation.close()


def work(client: Client, other: Client, name: str, zone: str) -> None:
    """A disk, a snapshot of it, and a disk of that; another server sees all of it."""
    client.call("CreateDisk", diskName=name, availabilityZone=zone, sizeInGb=8)
    until(partial(_is_available, other, name), "the disk")
    client.call("CreateDiskSnapshot", diskName=name, diskSnapshotName=f"{name}-1")
    until(partial(_is_completed, other, f"{name}-1"), "the snapshot")
    copy = {"sourceSnapshotName": f"{name}-1", "targetSnapshotName": f"{name}-2"}
    other.call("CopySnapshot", sourceRegion="us-east-2", **copy)
    until(partial(_is_completed, client, f"{name}-2"), "the copy")


def _is_available(client: Client, name: str) -> bool:
    return bool(client.call("GetDisk", diskName=name)["disk"]["state"] == "available")


def _is_completed(client: Client, name: str) -> bool:
    told = client.call("GetDiskSnapshot", diskSnapshotName=name)
    return bool(told["diskSnapshot"]["state"] == "completed")


def test_servers_are_upgraded_one_after_the_other(installation: Installation) -> None:
    one, two = installation.start("one"), installation.start("two")
    work(one, two, "before", ZONES["one"])

    installation.servers["two"].stop()
    two = installation.start("two", newer=True)
    assert installation.versions() == {"one": mooring.version.VERSION, "two": "99.0.0"}
    assert {"shapes", "join_secrets"} <= installation.tables()
    work(one, two, "beside-1", ZONES["one"])
    work(two, one, "beside-2", ZONES["two"])

    # The older one dies, and is started again as it was.
    installation.servers["one"].kill()
    one = installation.start("one")
    work(one, two, "again", ZONES["one"])

    installation.servers["one"].stop()
    one = installation.start("one", newer=True)
    assert set(installation.versions().values()) == {"99.0.0"}
    assert "join_secrets" not in installation.tables()
    work(two, one, "after", ZONES["two"])

    # Nobody goes back behind what was taken away, and whoever tries is told.
    installation.servers["two"].stop()
    with pytest.raises(DemoError, match="start the newer program"):
        installation.start("two")
