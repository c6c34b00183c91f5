"""Data directories that earlier releases have left are opened, and everything in them goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.upgrade import kept_directory
from tests.upgrade.kept_directory import CHANGED, CHANGED_AT, FIRST, UNSTORED, UNSTORED_AT

pytestmark = pytest.mark.full

RELEASES = sorted(kept_directory.KEPT.glob("*.tar.xz"))


@pytest.fixture(params=RELEASES, ids=lambda archive: archive.name.removesuffix(".tar.xz"))
def deployment(request: pytest.FixtureRequest, run_dir: Path) -> Iterator[Deployment]:
    made = Deployment(run_dir)
    kept_directory.unpack(request.param, made.data)
    try:
        made.start()
        yield made
    finally:
        made.close()


def read(uri: str) -> tuple[bytes, bytes]:
    with BlockingNbdClient(uri) as disk:
        return disk.read(0, len(FIRST)), disk.read(UNSTORED_AT, len(UNSTORED))


def with_changes(content: bytes) -> bytes:
    return content[:CHANGED_AT] + CHANGED + content[CHANGED_AT + len(CHANGED) :]


def is_taken(deployment: Deployment, name: str) -> bool:
    """Ask for a snapshot; False if it is refused because an automatic one is being created.

    The day's automatic snapshot, if it is past 06:00, is taken as soon as there is a server.
    """
    try:
        deployment.snapshot(name)
    except RefusedError as error:
        if "An automatic snapshot of the disk data is being created" not in str(error):
            raise
        return False
    return True


def test_there_is_one_of_each_release() -> None:
    assert [archive.name for archive in RELEASES] != []


def test_all_is_as_it_was_and_goes_on(deployment: Deployment) -> None:
    assert deployment.states() == {"first": "completed", "second": "completed"}
    disks = {one["name"]: one for one in deployment.call("GetDisks")["disks"]}
    assert {name: one["state"] for name, one in disks.items()} == {
        "data": "in-use",
        "again": "available",
    }
    assert disks["again"]["tags"] == [{"key": "made", "value": "of first"}]
    assert disks["data"]["addOns"][0]["snapshotTimeOfDay"] == "06:00"

    uri = str(deployment.server.ask("uri", diskName="data")["uri"])
    assert read(uri) == (with_changes(FIRST), UNSTORED)
    deployment.instance("vm2")
    assert read(deployment.attach("again", "vm2")) == (FIRST, bytes(len(UNSTORED)))

    until(lambda: is_taken(deployment, "third"), "the day's automatic snapshot to be stored")
    assert deployment.ended("third") == ["completed"]
    third = deployment.server.ask("snapshot", diskSnapshotName="third")
    assert third["parentName"].partition("@")[0] in ("second", "data")
    assert third["changedBytes"] < 1 << 20
    for snapshot, content in (("second", with_changes(FIRST)), ("third", with_changes(FIRST))):
        deployment.call(
            "CreateDiskFromSnapshot", diskName=f"of-{snapshot}", diskSnapshotName=snapshot,
            availabilityZone=ZONE, sizeInGb=8,
        )  # fmt: skip
        deployment.until_disk(f"of-{snapshot}", "state", "available")
        assert read(deployment.attach(f"of-{snapshot}", "vm2"))[0] == content
