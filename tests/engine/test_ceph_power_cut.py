"""The power fails for host and OSD at once: what was flushed is there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE
from tests.ceph_cluster import CHECKOUT, CephCluster, new_host
from tests.engine.harness import MIB, QemuHarness, content, eventually, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

SIZE = 4 * MIB
CUTS = 4
LEAST_STEPS = 40


class History:
    """What the host has told: what must be there after a cut, and what may be."""

    def __init__(self, whole: bytes) -> None:
        self.blocks = [whole[at : at + BLOCK_SIZE] for at in range(0, len(whole), BLOCK_SIZE)]
        self.dirty: set[int] = set()
        self.points: dict[str, bytes] = {}
        self.steps = 0

    def follow(self, line: str) -> None:
        told, self.steps = json.loads(line), self.steps + 1
        if "begun" in told:
            first, count = told["begun"]
            self.dirty |= set(range(first, first + count))
        elif "written" in told:
            first, count, seed = told["written"]
            data = noise(seed, count * BLOCK_SIZE)
            for number in range(count):
                self.blocks[first + number] = data[number * BLOCK_SIZE :][:BLOCK_SIZE]
        elif "flushed" in told:
            self.dirty.clear()
        elif "frozen" in told:
            self.dirty.clear()
            self.points[told["frozen"]] = b"".join(self.blocks)
        elif "released" in told:
            del self.points[told["released"]]

    def check(self, whole: bytes) -> None:
        for number, block in enumerate(self.blocks):
            if number not in self.dirty:
                assert whole[number * BLOCK_SIZE :][:BLOCK_SIZE] == block, number


class Site:
    """One host's folders, which outlive its falls, and one disk."""

    def __init__(self, ceph: CephCluster, folder: Path, run_dir: Path) -> None:
        self.ceph, self.folder, self.run_dir = ceph, folder, run_dir
        self.host, self.instance = new_host(), new_id()
        self.export = Export(new_id(), "disk")
        self.made: list[QemuHarness] = []

    def harness(self) -> QemuHarness:
        def store() -> RbdStore:
            return RbdStore(self.ceph.place(), self.host, SystemClock(), self.host)

        self.made.append(QemuHarness(self.folder, self.run_dir, store=store))
        return self.made[-1]

    def work_until_the_power_fails(self, history: History, seconds: float) -> None:
        """Let the host work for so long, and then kill all of it, and the OSD, at once."""
        place = json.dumps(asdict(self.ceph.place()))
        words = [self.folder, self.run_dir, self.instance, self.export.disk_id, self.host, place]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.engine.ceph_victim", *map(str, words)],
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            text=True,
        ) as victim:
            assert victim.stdout is not None
            speaker = json.loads(victim.stdout.readline())["pid"]
            lines: list[str] = []
            reader = threading.Thread(target=lambda: lines.extend(victim.stdout or ()))
            reader.start()
            eventually(lambda: len(lines) >= LEAST_STEPS, 60)
            time.sleep(seconds)
            osd = int((self.ceph.folder / "run" / "osd.0.pid").read_text())
            here = [self._daemon(), speaker, victim.pid]
            # They stand still at one instant, and do nothing more.
            for pid in (osd, *here):
                os.kill(pid, signal.SIGSTOP)
            for pid in here:
                os.kill(pid, signal.SIGKILL)
            self.ceph.kill_osd()
            reader.join()
        for line in lines:
            # What the engine logs stands between.
            if line.startswith("{") and line.endswith("\n"):
                history.follow(line)

    def _daemon(self) -> int:
        return int((self.run_dir / self.instance / "pid").read_text())


@pytest.fixture
def site(ceph: CephCluster, tmp_path: Path, run_dir: Path) -> Iterator[Site]:
    made = Site(ceph, tmp_path / "data", run_dir / "run")
    yield made
    for one in made.made:
        one.close()


def test_a_power_cut_of_host_and_osd_loses_nothing_flushed(site: Site, ceph: CephCluster) -> None:
    harness = site.harness()
    harness.engine.create(site.export.disk_id, SIZE)
    harness.close()
    whole, lot, points = bytes(SIZE), random.Random(1), 0
    for _ in range(CUTS):
        history = History(whole)
        try:
            site.work_until_the_power_fails(history, lot.uniform(0, 1.0))
        finally:
            ceph.start_osd()
        whole = check_afterwards(site, history)
        points += len(history.points)
    assert points, "the test is worth nothing if there was nothing to lose"


def check_afterwards(site: Site, history: History) -> bytes:
    """Take the disk up, as a new server does; what it holds."""
    harness = site.harness()
    disk, engine = site.export.disk_id, harness.engine
    engine.adopt({site.instance: [site.export]})
    # A layer that a daemon had opened, and that was not recorded yet, keeps it for a moment.
    eventually(lambda: engine.health(disk).ok, 60)
    client = harness.client(site.instance, site.export)
    whole = client.read(0, SIZE)
    history.check(whole)
    for point, then in history.points.items():
        image = engine.open_point(disk, point)
        assert content(image) == then
        image.close()
    # It goes on from there, and the next snapshot is whole.
    newest = new_id()
    engine.freeze({disk: newest})
    image = engine.open_point(disk, newest)
    assert content(image) == whole
    image.close()
    check_overlays(site.ceph, harness, disk)
    harness.close()
    return whole


def check_overlays(ceph: CephCluster, harness: QemuHarness, disk_id: str) -> None:
    """Raise if QEMU finds anything wrong with them but space that nothing refers to."""
    disk = harness.qemu._registry.disk(disk_id)
    store = harness.qemu._store
    for layer in disk.layers.overlays():
        image = {"driver": "qcow2", "backing": None}
        file = {**image, "file": store.node(layer.path, aio="", direct=True)}
        command = ["qemu-img", "check", "--force-share", f"json:{json.dumps(file)}"]
        environment = {**os.environ, **ceph.environment}
        environment["CEPH_CONF"] = str(ceph.folder / "admin.conf")
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert done.returncode in (0, 3), done.stdout + done.stderr
