"""The clients with real disks behind the API, served by QEMU."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.site import ZONE, Site
from tests.conftest import find_tool

pytestmark = pytest.mark.full

PATTERN, LATER = "0xa5", "0x5a"
MIB = 1 << 20


@pytest.fixture(scope="module")
def real(module_run_dir: Path) -> Iterator[Site]:
    for tool in ("aws", "qemu-storage-daemon", "qemu-img", "qemu-io"):
        find_tool(tool)
    site = Site(module_run_dir, settings="[engine]\nkind = 'qemu'\n")
    yield site
    try:
        # The storage daemons outlive the server: they go with their instances.
        for instance in site.call("GetInstances")["instances"]:
            site.call("DeleteInstance", instanceName=instance["name"])
        for disk in site.call("GetDisks")["disks"]:
            site.disk_is(disk["name"], attachmentState="detached")
    finally:
        site.close()


def qemu_io(site: Site, disk: str, command: str) -> None:
    """A client of the disk, over NBD. Fails when what it reads is not the pattern."""
    uri = str(site.server.ask("uri", diskName=disk)["uri"])
    done = subprocess.run(
        ["qemu-io", "-f", "raw", "-c", command, uri],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Some versions of qemu-io say so, and end well all the same.
    assert "Pattern verification failed" not in done.stdout


def attach(site: Site, disk: str, instance: str, path: str) -> None:
    site.call("AttachDisk", diskName=disk, instanceName=instance, diskPath=path)
    site.disk_is(disk, attachmentState="attached")


def test_a_snapshot_of_a_disk_in_use_becomes_a_disk_with_its_content(real: Site) -> None:
    disk, instance, snap, restored = real.disk(), real.instance(), "before", "restored"
    attach(real, disk, instance, "/dev/xvdf")
    qemu_io(real, disk, f"write -P {PATTERN} {MIB} {MIB}")

    result = real.call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=snap)
    qemu_io(real, disk, f"write -P {LATER} {MIB} {MIB}")

    assert [one["status"] for one in result["operations"]] == ["Started", "Started"]
    assert real.snapshot_is(snap, "completed")["progress"] == "100%"
    assert {one["status"] for one in real.ended(result)} == {"Succeeded"}
    real.call(
        "CreateDiskFromSnapshot",
        diskName=restored,
        diskSnapshotName=snap,
        availabilityZone=ZONE,
        sizeInGb=9,
    )
    real.disk_is(restored, state="available")
    attach(real, restored, instance, "/dev/xvdg")
    qemu_io(real, restored, f"read -P {PATTERN} {MIB} {MIB}")
    qemu_io(real, disk, f"read -P {LATER} {MIB} {MIB}")


def test_detach_is_refused_while_a_client_is_connected(real: Site) -> None:
    disk, instance = real.disk(), real.instance()
    attach(real, disk, instance, "/dev/xvdf")
    uri = str(real.server.ask("uri", diskName=disk)["uri"])
    client = subprocess.Popen(
        ["qemu-io", "-f", "raw", uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("read 0 4096\n")
        client.stdin.flush()
        assert "read 4096/4096" in client.stdout.readline() + client.stdout.readline()

        error = real.boto.reply("DetachDisk", {"diskName": disk}).error

        assert error is not None
        assert error.type == "OperationFailureException"
        assert error.message.startswith(
            "You can't detach this disk right now. The state of this disk is: in-use: qemu-io ("
        )
    finally:
        client.communicate("quit\n", timeout=30)
    real.call("DetachDisk", diskName=disk)
    assert real.disk_is(disk, attachmentState="detached")["state"] == "available"


def test_a_stopped_instance_serves_no_disk(real: Site) -> None:
    disk, instance = real.disk(), real.instance()
    attach(real, disk, instance, "/dev/xvdf")
    qemu_io(real, disk, f"write -P {PATTERN} 0 4096")

    real.call("StopInstance", instanceName=instance)
    real.instance_is(instance, "stopped")
    snap = real.snapshot(disk)
    real.call("StartInstance", instanceName=instance)
    real.instance_is(instance, "running")

    qemu_io(real, disk, f"read -P {PATTERN} 0 4096")
    real.call("DeleteDiskSnapshot", diskSnapshotName=snap)
    real.call("DetachDisk", diskName=disk)
    real.disk_is(disk, attachmentState="detached")
    real.call("DeleteDisk", diskName=disk)
    assert disk not in real.call("GetActiveNames")["activeNames"]
