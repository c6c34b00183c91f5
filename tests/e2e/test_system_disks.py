"""Blueprints and system disks by the commands that people use, on real storage daemons."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.admin.recovery.recover import recover
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.e2e.test_lost_catalog import described, settings
from tests.e2e.test_restore import MIB, noise

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires("qemu-img"),
]

SIZE = 64 * MIB
BLUEPRINT = "debian-13"


def test_from_an_image_to_a_blueprint_of_what_became_of_it(deployment: Deployment) -> None:
    deployment.start()
    mooring = deployment.server.run
    image = make_image(deployment.folder)
    done = mooring(
        "mooring", "import", str(image), "--format", "qcow2", "--blueprint-id", BLUEPRINT
    )
    assert f"create-instances --blueprint-id {BLUEPRINT}" in done.output
    (shown, *_) = json.loads(mooring("mooring", "get-blueprints").output)["blueprints"]
    assert (shown["blueprintId"], shown["isActive"]) == (BLUEPRINT, True)

    uri = make_instance(deployment, "vm1", BLUEPRINT)
    check(uri)
    with BlockingNbdClient(uri) as client:
        client.write(MIB, noise(MIB, MIB))
    deployment.call("CreateDiskSnapshot", instanceName="vm1", diskSnapshotName="monday")
    assert deployment.ended("monday") == ["completed"]
    mooring(
        "mooring", "import", "--disk-snapshot-name", "monday", "--blueprint-id", "ours",
        "--platform", "windows",
    )  # fmt: skip
    deployment.call("DeleteDiskSnapshot", diskSnapshotName="monday")
    check(make_instance(deployment, "vm2", "ours"), MIB)

    deployment.call("CreateInstanceSnapshot", instanceName="vm2", instanceSnapshotName="all")
    mooring("mooring", "wait", "instance-snapshot-available", "--instance-snapshot-name", "all")
    deployment.call("DeleteInstance", instanceName="vm2")
    until(lambda: disks(deployment) == ["vm1-system"], "the system disk to be gone")
    mooring("mooring", "delete-blueprint", "--blueprint-id", "ours")
    deployment.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["vm3"],
        availabilityZone=ZONE,
        bundleId="external",
        instanceSnapshotName="all",
    )
    deployment.until_disk("vm3-system", "attachmentState", "attached")
    check(str(deployment.server.ask("uri", diskName="vm3-system")["uri"]), MIB)


def test_a_killed_server_makes_what_was_asked_for(deployment: Deployment) -> None:
    deployment.start()
    image = make_image(deployment.folder)
    deployment.server.run(
        "mooring", "import", str(image), "--format", "qcow2", "--blueprint-id", BLUEPRINT
    )
    ask_for(deployment, "vm1", BLUEPRINT)
    deployment.server.kill()
    deployment.start()
    deployment.until_disk("vm1-system", "attachmentState", "attached")
    check(str(deployment.server.ask("uri", diskName="vm1-system")["uri"]))
    with pytest.raises(RefusedError, match="is the system disk of the instance vm1"):
        deployment.call("DetachDisk", diskName="vm1-system")
    described(deployment, "vm1-system", '"isSystem": true')
    deployment.call("DeleteInstance", instanceName="vm1")
    deployment.server.kill()
    deployment.start()
    until(lambda: not files(deployment), "the disk's files to be gone")
    assert deployment.daemons() == {}


def test_all_comes_back_without_a_catalog(deployment: Deployment) -> None:
    deployment.start()
    image = make_image(deployment.folder)
    deployment.server.run(
        "mooring", "import", str(image), "--format", "qcow2", "--blueprint-id", BLUEPRINT
    )
    make_instance(deployment, "vm1", BLUEPRINT)
    described(deployment, "vm1-system", '"isSystem": true')
    before = deployment.call("GetInstance", instanceName="vm1")["instance"]
    deployment.server.kill()
    for path in deployment.data.glob("catalog.sqlite*"):
        path.unlink()

    assert recover(settings(deployment)) == 0

    deployment.start()
    after = deployment.call("GetInstance", instanceName="vm1")["instance"]
    assert after["hardware"] == before["hardware"]
    check(str(deployment.server.ask("uri", instanceName="vm1")["uri"]))
    check(make_instance(deployment, "vm2", BLUEPRINT))
    deployment.call("DeleteInstance", instanceName="vm1")
    deployment.call("DeleteInstance", instanceName="vm2")
    until(lambda: not files(deployment), "the disks' files to be gone")
    assert disks(deployment) == []


def test_what_does_not_go_together_is_said(deployment: Deployment) -> None:
    deployment.start()
    for words, told in (
        (["--blueprint-id", "b1"], "an image file, or --disk-snapshot-name"),
        (["x.raw", "--blueprint-id", "b1", "--disk-snapshot-name", "s1"], "not both"),
        (["x.raw", "--platform", "linux", "--disk-snapshot-name", "s1"], "is for blueprints"),
        (["--disk-snapshot-name", "s1"], "Name the image file"),
        (["x.raw"], "Name what is made"),
        (["x.raw", "--disk-snapshot-name", "s1"], "format of the image"),
        (
            ["--disk-snapshot-name", "s1", "--blueprint-id", "b1", "--format", "raw"],
            "are for image files",
        ),
        (["--disk-snapshot-name", "s1", "--blueprint-id", "b1"], "does not exist: s1"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "mooring.cli.main", "import", *words],
            env=deployment.server.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert told in done.stderr, words


def make_image(folder: Path) -> Path:
    """A qcow2 image with noise in its first MiB."""
    raw, image = folder / "raw", folder / "image.qcow2"
    with raw.open("wb") as file:
        file.write(noise(0, MIB))
        file.truncate(SIZE)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True
    )
    return image


def ask_for(deployment: Deployment, name: str, blueprint: str) -> None:
    deployment.call(
        "CreateInstances",
        instanceNames=[name],
        availabilityZone=ZONE,
        blueprintId=blueprint,
        bundleId="external",
    )


def make_instance(deployment: Deployment, name: str, blueprint: str) -> str:
    """Make an instance; returns its system disk's URI."""
    ask_for(deployment, name, blueprint)
    deployment.until_disk(f"{name}-system", "attachmentState", "attached")
    return str(deployment.server.ask("uri", diskName=f"{name}-system")["uri"])


def check(uri: str, *others: int) -> None:
    """The disk has what the image had, and the MiB written at `others`."""
    with BlockingNbdClient(uri) as client:
        for position in (0, *others):
            assert client.read(position, MIB) == noise(position, MIB)


def files(deployment: Deployment) -> list[Path]:
    """The descriptions of the disks that there still are."""
    return list((deployment.data / "zones" / ZONE).rglob("disk.json"))


def disks(deployment: Deployment) -> list[str]:
    return [one["name"] for one in deployment.call("GetDisks")["disks"]]
