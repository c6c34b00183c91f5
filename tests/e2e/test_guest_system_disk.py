"""A real guest on its instance's system disk: booted, snapshotted, booted again elsewhere."""

from __future__ import annotations

import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.guest import READY, Guest, require_guest
from tests.e2e.system_image import make_system_image
from tests.e2e.test_system_disks import make_instance

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires("qemu-img"),
]


@pytest.fixture(autouse=True)
def guests() -> None:
    require_guest()


def test_a_guest_boots_from_what_another_one_wrote(deployment: Deployment) -> None:
    deployment.start()
    run = deployment.server.run
    image = make_system_image(deployment.folder, READY)
    run("mooring", "import", str(image), "--format", "qcow2", "--blueprint-id", "small-1")
    uri = make_instance(deployment, "vm1", "small-1")
    # While the disk is still being filled.
    with Guest(deployment.folder / "a", {"root": uri}, from_disk=True) as guest:
        assert guest.run("grep ' / ' /proc/mounts").split()[:3] == ["/dev/vda", "/", "ext4"]
        guest.run("seq 100000 > /written && sync")
        run(
            "aws", "lightsail", "create-disk-snapshot",
            "--instance-name", "vm1", "--disk-snapshot-name", "monday",
        )  # fmt: skip
        guest.run("echo later > /later && sync")
        guest.kill()
    assert deployment.ended("monday") == ["completed"]
    shown = deployment.call("GetDiskSnapshot", diskSnapshotName="monday")["diskSnapshot"]
    assert shown["fromInstanceName"] == "vm1"

    run("mooring", "import", "--disk-snapshot-name", "monday", "--blueprint-id", "small-2")
    with deployment.restored("monday") as (rescue,):
        restored = make_instance(deployment, "vm2", "small-2")
        disks = {"root": restored, "rescue": rescue}
        with Guest(deployment.folder / "b", disks, from_disk=True) as guest:
            assert guest.run("wc -l < /boots").strip() == "2"
            guest.run("seq 100000 | cmp - /written && [ ! -e /later ]")
            assert "(vda): recovery complete" in guest.run("dmesg")
            # The disk of a rescue, beside that of the machine it is brought to.
            guest.run("mount /dev/vdb /mnt && seq 100000 | cmp - /mnt/written")
            assert guest.run("wc -l < /mnt/boots").strip() == "1"
