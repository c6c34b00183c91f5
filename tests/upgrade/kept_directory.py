"""A data directory with something of everything, for later releases to open.

`python -m tests.upgrade.kept_directory` makes `data/VERSION.tar.xz` of the version of the checkout;
it is committed with each release, and never changed afterwards.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from mooring.nbd.blocking import BlockingNbdClient
from mooring.version import VERSION
from tests.e2e.deployment import ZONE, Deployment

KEPT = Path(__file__).parent / "data"


def blocks(seed: int, count: int) -> bytes:
    """Blocks that are all different, and small when compressed: each is eight bytes, repeated."""
    numbers = random.Random(seed)
    return b"".join(numbers.randbytes(8) * 512 for _ in range(count))


FIRST = blocks(1, 256)
"""What the disk `data` begins with in the snapshot `first`."""

CHANGED_AT, CHANGED = 512 << 10, blocks(2, 16)
"""What was written over that before the snapshot `second`."""

UNSTORED_AT, UNSTORED = 8 << 20, blocks(3, 1)
"""What was written after both, and is in the disk alone."""


def fill(deployment: Deployment) -> None:
    """Make the resources."""
    uri = deployment.used_disk("data", "vm1")
    with BlockingNbdClient(uri) as disk:
        disk.write(0, FIRST)
        disk.flush()
        deployment.snapshot("first")
        assert deployment.ended("first") == ["completed"]
        disk.write(CHANGED_AT, CHANGED)
        disk.flush()
        deployment.snapshot("second")
        assert deployment.ended("second") == ["completed"]
        disk.write(UNSTORED_AT, UNSTORED)
        disk.flush()
    request = {
        "addOnType": "AutoSnapshot",
        "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": "06:00"},
    }
    deployment.call("EnableAddOn", resourceName="data", addOnRequest=request)
    deployment.call(
        "CreateDiskFromSnapshot", diskName="again", diskSnapshotName="first", sizeInGb=8,
        availabilityZone=ZONE, tags=[{"key": "made", "value": "of first"}],
    )  # fmt: skip
    deployment.until_disk("again", "state", "available")


def make(target: Path) -> None:
    """Write the archive. Holes stay holes."""
    with tempfile.TemporaryDirectory(prefix="mooring-") as temporary:
        deployment = Deployment(Path(temporary))
        deployment.start()
        try:
            fill(deployment)
            command = [sys.executable, "-m", "mooring.admin.main", "stop", "--data"]
            subprocess.run([*command, str(deployment.data)], check=True)
        finally:
            deployment.close()
        for leftover in ("reserve", "cache", "run", "lock", "server.log"):
            subprocess.run(["rm", "-rf", str(deployment.data / leftover)], check=True)
        command = ["tar", "--create", "--sparse", "--xz", "--sort=name", "--owner=0", "--group=0"]
        command += ["--file", str(target), "--directory", str(deployment.data), "."]
        subprocess.run(command, check=True)


def unpack(archive: Path, data: Path) -> None:
    """Put the data directory where it is to be used."""
    data.mkdir()
    command = ["tar", "--extract", "--sparse", "--no-same-owner", "--file", str(archive)]
    subprocess.run([*command, "--directory", str(data)], check=True)


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    make(KEPT / f"{VERSION}.tar.xz")
