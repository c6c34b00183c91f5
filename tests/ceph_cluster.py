"""A Ceph cluster of one monitor and one OSD, unpacked by scripts/setup in CI."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.engine.qemu.stores.rbd.place import RbdPlace
from mooring.host.processes.process_stat import started_at

CHECKOUT = Path(__file__).resolve().parent.parent
SCRIPT = CHECKOUT / "scripts" / "ceph"
POOL, SPACE, USER = "mooring", "home", "mooring"


class CephCluster:
    """Runs below `folder`. Commands and libraries are found with `environment`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=120, stdin=subprocess.DEVNULL)
        told = subprocess.run([SCRIPT, "env", folder], check=True, capture_output=True, text=True)
        self.environment = dict(
            shlex.split(line)[1].split("=", 1) for line in told.stdout.splitlines()
        )

    def place(self, **options: Any) -> RbdPlace:
        """Where layers go, as the user with the least rights."""
        conf = str(self.folder / "ceph.conf")
        return RbdPlace(**{"pool": POOL, "namespace": SPACE, "user": USER, "conf": conf, **options})

    def run(self, *command: str, timeout: float = 60.0) -> str:
        """Run a command of Ceph or QEMU as the administrator; its output."""
        environment = {**os.environ, **self.environment}
        environment["CEPH_CONF"] = str(self.folder / "admin.conf")
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=timeout
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, *command: str) -> Any:
        """What `ceph` answers, as JSON."""
        return json.loads(self.run("ceph", *command, "-f", "json"))

    def images(self) -> list[str]:
        """The images that there are in the name space."""
        found: list[str] = json.loads(self.run("rbd", "ls", f"{POOL}/{SPACE}", "--format", "json"))
        return found

    def kill_osd(self) -> None:
        """Kill the OSD, and wait until it is gone."""
        pid = int(self._osd_file.read_text())
        os.kill(pid, signal.SIGKILL)
        # Not only until its memory is gone: it closes its files, and so lets its store go, later.
        while started_at(pid):
            time.sleep(0.01)
        self._osd_file.unlink(missing_ok=True)

    def start_osd(self) -> None:
        """Start the OSD again, and wait until the cluster knows it."""
        before = self._osd_up_since()
        subprocess.run([SCRIPT, "osd", self.folder], check=True, timeout=60)
        deadline = time.monotonic() + 60
        while self._osd_up_since() == before:
            assert time.monotonic() < deadline, "the OSD does not come up"
            time.sleep(0.1)

    def mend(self) -> None:
        """Start an OSD that a test has killed, so that the next one has a cluster."""
        if not self._osd_file.exists() or not started_at(int(self._osd_file.read_text())):
            self.start_osd()

    @property
    def _osd_file(self) -> Path:
        return self.folder / "run" / "osd.0.pid"

    def _osd_up_since(self) -> int:
        """The epoch of the map in which it came up last."""
        (osd,) = self.ask("osd", "dump")["osds"]
        return int(osd["up_from"])

    def gateway(self) -> dict[str, str]:
        """Start the object gateway; the variables with which S3 clients find its bucket `vault`."""
        file = self.folder / "gateway"
        if not file.exists():
            subprocess.run([SCRIPT, "gateway", self.folder], check=True, timeout=60)
        lines = file.read_text().splitlines()
        return dict(line.removeprefix("export ").split("=", 1) for line in lines)

    def stop(self) -> None:
        """End all of it."""
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run([SCRIPT, "stop", self.folder], check=True, timeout=60)


def require_ceph() -> None:
    """Skip the test where no Ceph was unpacked; in CI fail it."""
    if not (CHECKOUT / ".ceph" / "setup-stamp").exists():
        reason = "there is no Ceph in .ceph: run CI=1 scripts/setup"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[CephCluster]:
    """A cluster that is thrown away afterwards."""
    require_ceph()
    cluster = None
    try:
        cluster = CephCluster(folder)
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()
        else:
            subprocess.run([SCRIPT, "stop", folder], check=False, timeout=60)


def new_host() -> str:
    """The name of a host that the cluster has never seen."""
    return f"host-{uuid.uuid4().hex[:8]}"
