"""A database starts from a disk restored a moment ago, while it fills."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.demo.filesystem import PROGRAMS, device_of, mounted, run, why_not
from tests.catalog.postgresql import find_binaries
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until
from tests.e2e.test_restore import filled, restore, serve

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires(*PROGRAMS),
]

USER = "postgres"
SCALE = 3
CLIENTS = 4
SECONDS = 60.0

# What every transaction of pgbench keeps true, whatever was committed.
SUMS = """
SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)
"""


class Cluster:
    """A PostgreSQL server on a directory of a mounted disk; root may not run it."""

    def __init__(self, binaries: Path, data: Path, home: Path) -> None:
        self._binaries = binaries
        self._data = data
        self._home = home
        self.log = home / f"{data.parent.name}.log"

    def make(self) -> None:
        self._data.mkdir()
        shutil.chown(self._data, USER, USER)
        self.tool("initdb", "-D", str(self._data), "--auth=trust", "--no-instructions")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """In the end it is cut off, as by a crash."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._home}"
        words = ["-D", str(self._data), "-l", str(self.log), "-t", str(int(SECONDS))]
        # The copy of a running server's directory names that server's process, which a host
        # may still know: nobody may have reaped it yet.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self.tool("pg_ctl", "start", "-w", *words, "-o", options)
        try:
            yield
        finally:
            self.tool("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate")

    def ask(self, query: str) -> list[int]:
        answer = self.tool("psql", "-h", str(self._home), "-XAt", "-F", " ", "-c", query, USER)
        return [int(word) for word in answer.split()]

    def bench(self, *options: str) -> list[str]:
        return ["-h", str(self._home), *options, USER]

    def program(self, name: str) -> str:
        inside = self._binaries / name
        return str(inside) if inside.exists() else name

    def tool(self, name: str, *words: str) -> str:
        with tempfile.TemporaryFile("w+") as output:
            # Not a pipe: the server inherits it, and would keep it open.
            done = subprocess.run(
                [self.program(name), *words],
                **self.as_user,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=2 * SECONDS,
                check=False,
            )
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, f"{name} {words}: {text}"
        return text

    @property
    def as_user(self) -> dict[str, Any]:
        return {"user": USER, "group": USER, "extra_groups": [], "cwd": self._home}


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the database's user can get into."""
    folder = Path(tempfile.mkdtemp(prefix="m-pg-", dir="/tmp"))
    shutil.chown(folder, USER, USER)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def binaries() -> Path:
    if reason := why_not():
        pytest.skip(reason)
    found = find_binaries()
    if found is None or not (found / "pg_amcheck").exists():
        pytest.skip("PostgreSQL with pg_amcheck is not installed: apt-get install postgresql")
    return found


def test_database_from_a_disk_being_filled(
    deployment: Deployment, binaries: Path, home: Path
) -> None:
    serve(deployment, fill_mib=1)
    uri = deployment.used_disk()
    with device_of(uri, deployment.folder / "live") as device:
        run("mkfs.ext4", "-q", "-E", "nodiscard", device, "2G")
        with mounted(device, home / "mount") as root:
            acknowledged = snapshot_in_use(deployment, Cluster(binaries, root / "data", home))
    deployment.detach("data")
    assert deployment.ended("saved") == ["completed"]

    restore(deployment)
    uri = deployment.attach("restored", "host")
    with device_of(uri, deployment.folder / "again") as device:
        with mounted(device, home / "restored") as root:
            cluster = Cluster(binaries, root / "data", home)
            with cluster.running():
                (count,) = cluster.ask("SELECT count(*) FROM pgbench_history")
                assert not filled(deployment)
                sums = cluster.ask(SUMS)
                assert count >= acknowledged > 0
                assert len(set(sums)) == 1, sums
                check = ["--heapallindexed", "--install-missing", "--all"]
                cluster.tool("pg_amcheck", "-h", str(home), "-U", USER, *check)
                assert not filled(deployment)
                use(cluster, 3)
                deployment.server.kill()
                serve(deployment)
                until(lambda: filled(deployment), "the disk to be filled")
                use(cluster, 1)
                cluster.tool("pg_amcheck", "-h", str(home), "-U", USER, *check)
                assert len(set(cluster.ask(SUMS))) == 1
        run("e2fsck", "-fn", device)
    text = cluster.log.read_text()
    assert "automatic recovery in progress" in text
    assert "redo done" in text
    assert "PANIC" not in text


def snapshot_in_use(deployment: Deployment, cluster: Cluster) -> int:
    """Take `saved` while clients write; the transactions acknowledged before come back."""
    cluster.make()
    with cluster.running():
        cluster.tool("pgbench", *cluster.bench("-q", "-i", "-s", str(SCALE)))
        load = subprocess.Popen(
            [cluster.program("pgbench"), *cluster.bench("-n", "-c", str(CLIENTS), "-T", "600")],
            **cluster.as_user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            history = "SELECT count(*) FROM pgbench_history"
            until(lambda: cluster.ask(history)[0] > 50, "transactions", SECONDS)
            (acknowledged,) = cluster.ask(history)
            deployment.snapshot("saved")
            (later,) = cluster.ask(history)
            until(lambda: cluster.ask(history)[0] > later, "more transactions", SECONDS)
            assert load.poll() is None
        finally:
            load.terminate()
            load.wait()
    return acknowledged


def use(cluster: Cluster, seconds: int) -> None:
    """Write for a while."""
    cluster.tool("pgbench", *cluster.bench("-n", "-c", "2", "-T", str(seconds)))
