"""mooringd doctor: the Ceph clusters that hold layers of disks."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mooring.config.settings import Settings
from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.place import RbdPlace
from mooring.engine.qemu.stores.rbd.state import ClusterState, Health
from mooring.host.room import Room
from mooring.model.clock import SystemClock
from mooring.model.errors import EngineError, MooringError
from mooring.wiring.engines import ceph_place

_OK, _WARNING = "HEALTH_OK", "HEALTH_WARN"


def ceph_findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Whether each is well, and what there is to say."""
    if settings.ceph and settings.engine.kind == "qemu":
        yield _driver()
    for zone in settings.ceph:
        place = ceph_place(settings, zone)
        if place is not None:
            yield _cluster(zone, place)


def _driver() -> tuple[bool, str]:
    image = shutil.which("qemu-img")
    if image is None:
        return False, "Ceph: without qemu-img nobody knows whether QEMU can open its images"
    asked = subprocess.run([image, "--help"], capture_output=True, text=True, check=False)
    # "Supported formats:" before QEMU 10, "Supported image formats:" since.
    formats = asked.stdout.partition("formats:")[2].split()
    if "rbd" in formats:
        return True, "Ceph: QEMU can open its images"
    return False, "Ceph: QEMU has no driver for its images: apt-get install qemu-block-extra"


def _cluster(zone: str, place: RbdPlace) -> tuple[bool, str]:
    """Asked by a process of its own, which is nobody's host."""
    with tempfile.TemporaryDirectory() as folder, closing(CephClient(place)) as client:
        client.run_dir = Path(folder)
        try:
            client.ask("hello")
            health = ClusterState(client, SystemClock()).health()
            client.ask("keys", table="mooring.layers", prefix="!")
        except (MooringError, OSError) as error:
            told = str(error) if isinstance(error, EngineError) else f"Ceph, {place}: {error}"
            return False, f"zone {zone}: {told}"
    return _verdict(health), f"zone {zone}: Ceph, {place}: {_text(health)}"


def _verdict(health: Health) -> bool:
    return health.status in (_OK, _WARNING) and not (health.full or health.nearly_full)


def _text(health: Health) -> str:
    said = "; ".join(health.checks.values())
    text = health.status + (f" ({said})" if said else "")
    if health.full or health.nearly_full:
        text += ": delete snapshots or disks, or add OSDs, before writes have to wait"
    if health.free is None or health.size is None:
        return text + "; how much room there is only a manager (ceph-mgr) tells"
    return f"{text}; {Room(Path(), health.free, health.size)}"
