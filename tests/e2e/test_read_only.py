"""The file system of disks and catalog becomes read-only: told, and nothing is lost."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e import processes
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.e2e.test_full_file_systems import content, mooringd, noise
from tests.mounts import MIB, file_system

pytestmark = pytest.mark.full


def fail(mount: Path) -> None:
    """Have ext4 find an error, as it does when its disk fails, and stop all writing."""
    subprocess.run(["mount", "-o", "remount,errors=remount-ro", mount], check=True)
    device = subprocess.check_output(["findmnt", "-no", "SOURCE", mount], text=True).strip()
    trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
    if not trigger.exists():
        pytest.skip("this kernel makes no errors of ext4 on demand")
    trigger.write_text("as of a failing disk")


def health(url: str) -> str:
    """What monitors are told that is wrong, if anything."""
    try:
        urllib.request.urlopen(f"{url}/healthz").close()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    return ""


def test_it_is_told_and_all_is_there_once_it_is_mended(deployment: Deployment) -> None:
    with file_system(deployment.data, "ext4") as mount:
        deployment.start()
        uri = deployment.used_disk()
        with BlockingNbdClient(uri) as client:
            client.write(0, noise(1))
            client.flush()
        deployment.snapshot("s1")
        assert deployment.ended("s1") == ["completed"]
        # QEMU 7.2 crashes if a merge cannot be written; the daemon would have to come back.
        until(lambda: len(list(mount.rglob("*.qcow2"))) == 1, "layers to be merged")
        fail(mount)

        changes: dict[str, dict[str, object]] = {
            "CreateDisk": {"diskName": "new", "availabilityZone": ZONE, "sizeInGb": 8},
            "CreateDiskSnapshot": {"diskName": "data", "diskSnapshotName": "s2"},
            "DeleteDiskSnapshot": {"diskSnapshotName": "s1"},
        }
        for operation, members in changes.items():
            with pytest.raises(RefusedError, match="catalog cannot be used right now") as caught:
                deployment.call(operation, **members)
            assert caught.value.status == 500
            assert str(mount) not in str(caught.value)
        url = deployment.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"]
        until(lambda: "can be recorded" in health(url), "monitors to be told")
        doctor = mooringd(deployment, "doctor")
        assert doctor.returncode == 1
        assert "Read-only file system, so nothing can be recorded here" in doctor.stdout
        assert content(uri, 8 * MIB) == noise(1), "disks are read all the same"

        deployment.server.stop()
        processes.end_all(deployment.data)
        device = subprocess.check_output(["findmnt", "-no", "SOURCE", mount], text=True).strip()
        image = subprocess.check_output(
            ["losetup", "--noheadings", "--output", "BACK-FILE", device], text=True
        ).strip()
        subprocess.run(["umount", mount], check=True)
        subprocess.run(["e2fsck", "-fy", image], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True)

        deployment.start()
        assert deployment.states() == {"s1": "completed"}
        deployment.snapshot("s2")
        assert deployment.ended("s2") == ["completed"]
        with deployment.restored("s1", "s2") as uris:
            assert [content(one, 8 * MIB) for one in uris] == [noise(1)] * 2
        deployment.close()
