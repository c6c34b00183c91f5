"""A catalog on a file system of its own, which is full or away."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.e2e.test_full_file_systems import Ballast, content, noise, write
from tests.mounts import MIB, file_system

pytestmark = pytest.mark.full

OURS = [sys.executable, "-m", "mooring.admin.main"]


def test_a_catalog_elsewhere_that_is_full_and_then_away(deployment: Deployment) -> None:
    with file_system(deployment.folder / "catalog", "ext4", 200 * MIB) as mount:
        settings = deployment.folder / "settings.toml"
        settings.write_text(f'catalog = "sqlite:///{mount}/catalog.sqlite"\n')
        serve = [*OURS, "serve", "--port", "0", "--config", str(settings)]
        deployment.start(*serve)
        uri = deployment.used_disk()
        write(uri, 0, noise(1))
        deployment.snapshot("s1")
        assert deployment.ended("s1") == ["completed"]
        with Ballast(mount):
            for number in range(20):
                made = {"diskName": f"new-{number}", "availabilityZone": ZONE, "sizeInGb": 8}
                try:
                    deployment.call("CreateDisk", **made)
                except RefusedError as error:
                    assert error.type == "OperationFailureException"  # noqa: PT017
            deployment.call("DeleteDiskSnapshot", diskSnapshotName="s1")
            until(lambda: set(deployment.statuses("s1")) == {"Succeeded"}, "s1 to be gone")
            deployment.server.kill()
            deployment.start(*serve)
            assert deployment.states() == {}
        deployment.snapshot("s2")
        assert deployment.ended("s2") == ["completed"]
        deployment.server.stop()

        subprocess.run(["umount", mount], check=True)
        try:
            done = subprocess.run(
                [*serve, "--data", str(deployment.data)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 2
            assert f"the catalog {mount}/catalog.sqlite is not there" in done.stderr
            assert "Traceback" not in done.stderr
            assert list(mount.iterdir()) == []
        finally:
            subprocess.run(["mount", "-o", "loop", f"{mount}.img", mount], check=True)
        deployment.start(*serve)
        assert deployment.states() == {"s2": "completed"}
        assert content(uri, 8 * MIB) == noise(1)
        deployment.close()
