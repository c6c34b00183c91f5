"""Disks attached to the host itself, through the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.engine.interface import Export
from mooring.jobs.recover import recover
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.service.context import Context
from mooring.service.instances import attachments
from mooring.service.own.table import own_handlers
from tests.service.world import REGION, ZONE, World


@pytest.fixture
def host(world: World) -> World:
    """`data` is attached to `here`."""
    world.disk()
    world.instance("here", blueprint="host")
    world.attach("data", "here")
    return world


def ask(world: World, disk: str = "data") -> Mapping[str, Any]:
    context = Context(
        region=REGION, caller="AKIATEST", request_id="r", invocation_id=None, received_ms=0
    )
    return own_handlers(world.backend)["device"](context, {"diskName": disk})


def disk_state(world: World) -> tuple[str, str]:
    disk = world.call("GetDisk", diskName="data")["disk"]
    return disk["state"], disk["attachmentState"]


def test_an_attached_disk_is_a_block_device(host: World) -> None:
    told = {"diskName": "data", "device": "/dev/mem0", "usedBy": None, "hostName": None}
    assert ask(host) == told
    assert host.devices.uris == {
        host.disk_id("data"): host.engine.uri(instance_id(host), "data"),
    }
    # The API's answer says what was asked for, as the real service's does.
    assert host.call("GetDisk", diskName="data")["disk"]["path"] == "/dev/xvdf"


def instance_id(world: World) -> str:
    with world.catalog.read() as transaction:
        found = transaction.instances.by_name(REGION, "here")
    assert found is not None
    return found.id


def test_without_the_means_there_is_no_host(world: World) -> None:
    world.devices.reason = "only root can make block devices"

    with pytest.raises(InvalidInputException, match="only root can make block devices"):
        world.instance("here", blueprint="host")


def test_a_device_that_cannot_be_made_leaves_the_disk_detached(world: World) -> None:
    world.disk()
    world.instance("here", blueprint="host")
    world.devices.reason = "there is no /dev/fuse on this host"

    world.attach("data", "here")
    world.settle()

    assert disk_state(world) == ("available", "detached")
    (first, *_) = world.operations("data")
    assert (first["status"], first["errorDetails"]) == (
        "Failed",
        "there is no /dev/fuse on this host",
    )


def test_detach(host: World) -> None:
    host.call("DetachDisk", diskName="data")
    host.settle()

    assert host.devices.uris == {}
    assert disk_state(host) == ("available", "detached")


def test_a_mounted_disk_is_not_detached(host: World) -> None:
    host.devices.mounts[host.disk_id("data")] = "/srv/data"

    with pytest.raises(
        OperationFailureException,
        match=r"The state of this disk is: in-use: /dev/mem0 is mounted at /srv/data\. Unmount it",
    ):
        host.call("DetachDisk", diskName="data")

    assert disk_state(host) == ("in-use", "attached")
    assert ask(host)["usedBy"] == "mounted at /srv/data"


def test_the_device_comes_back_when_another_client_keeps_the_disk(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_id = host.disk_id("data")
    host.engine.connect(disk_id)
    monkeypatch.setattr(attachments, "LEAVING_SECONDS", -1.0)

    with pytest.raises(OperationFailureException, match="can't detach this disk right now"):
        host.call("DetachDisk", diskName="data")

    assert list(host.devices.uris) == [disk_id]


@pytest.mark.parametrize("operation", ["StopInstance", "DeleteInstance"])
def test_an_instance_with_a_mounted_disk_goes_on(host: World, operation: str) -> None:
    host.devices.mounts[host.disk_id("data")] = "/srv/data"

    with pytest.raises(OperationFailureException, match=r"disk data, .* is mounted at /srv/data"):
        host.call(operation, instanceName="here")

    assert host.call("GetInstanceState", instanceName="here")["state"]["name"] == "running"
    host.devices.mounts.clear()
    host.call(operation, instanceName="here")
    host.settle()
    assert host.devices.uris == {}


def test_mounted_between_the_request_and_its_job(host: World) -> None:
    host.disk("other")
    host.attach("other", "here", "/dev/xvdg")
    host.call("StopInstance", instanceName="here")
    host.devices.mounts[host.disk_id("other")] = "/srv/other"

    host.settle()

    assert host.call("GetInstanceState", instanceName="here")["state"]["name"] == "running"
    assert set(host.devices.uris) == {host.disk_id("data"), host.disk_id("other")}
    (first, *_) = host.operations("here")
    assert first["status"] == "Failed"
    assert "/srv/other" in first["errorDetails"]


def test_stop_and_start(host: World) -> None:
    host.call("StopInstance", instanceName="here")
    host.settle()
    assert host.devices.uris == {}
    with pytest.raises(OperationFailureException, match="stopped"):
        ask(host)

    host.call("StartInstance", instanceName="here")
    host.settle()
    assert ask(host)["device"] == "/dev/mem0"


def test_a_restarted_server_brings_devices_and_catalog_together(host: World) -> None:
    disk_id = host.disk_id("data")
    host.devices.uris.clear()
    host.devices.attach("gone", "nbd+unix:///gone?socket=/x")

    recover(host.backend)

    assert list(host.devices.uris) == [disk_id]


@pytest.fixture
def detached(host: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """By the disks whose devices were taken away, at which instance they were served then."""
    found: dict[str, str | None] = {}
    detach = host.devices.detach

    def noted(disk_id: str) -> None:
        found[disk_id] = host.engine._disk(disk_id).instance
        detach(disk_id)

    monkeypatch.setattr(host.devices, "detach", noted)
    return found


def test_a_disk_that_leaves_is_served_until_its_device_is_written(
    host: World, detached: dict[str, str | None]
) -> None:
    """A server that ended the daemon first would wait for it ten minutes, in its very start."""
    disk_id, here = host.disk_id("data"), instance_id(host)
    host.call("DeleteInstance", instanceName="here")
    host.engine.stop(here)  # the daemon was killed with the server

    recover(host.backend)
    host.settle()

    assert detached == {disk_id: here}
    assert host.engine._disk(disk_id).instance is None
    assert disk_state(host) == ("available", "detached")
    with host.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_what_nobody_wants_is_written_before_its_daemon_ends(
    host: World, detached: dict[str, str | None]
) -> None:
    """As after an attachment, or a fork, that was not answered."""
    stray = host.disk("stray")
    host.engine.attach("of-a-fork", Export(stray, "stray"))
    host.devices.attach(stray, host.engine.uri("of-a-fork", "stray"))

    recover(host.backend)

    assert detached == {stray: "of-a-fork"}
    assert host.engine._disk(stray).instance is None
    assert list(host.devices.uris) == [host.disk_id("data")]


def test_a_broken_device_is_made_anew_when_asked_for(host: World) -> None:
    disk_id = host.disk_id("data")
    host.devices.broken.add(disk_id)
    host.devices.mounts[disk_id] = "/srv/data"
    with pytest.raises(OperationFailureException, match=r"does not work; mounted at /srv/data"):
        ask(host)
    host.devices.mounts.clear()

    assert ask(host)["device"] == "/dev/mem0"
    assert host.devices.broken == set()


def test_only_disks_of_the_host_have_devices(world: World) -> None:
    world.disk()
    with pytest.raises(OperationFailureException, match="is not attached to an instance"):
        ask(world)
    world.instance()
    world.attach()
    with pytest.raises(OperationFailureException, match="web, which is not this host"):
        ask(world)
    with pytest.raises(NotFoundException):
        ask(world, "nobody")


def test_a_mounted_disk_is_brought_to_rest_for_a_snapshot(host: World) -> None:
    host.snapshot("unmounted")
    assert host.quiescer.holds == 0
    host.devices.mounts[host.disk_id("data")] = "/srv/data"

    host.snapshot("mounted")

    assert host.quiescer.holds == 1
    tags = [host.state(name)["tags"][0]["value"] for name in ("unmounted", "mounted")]
    assert tags == ["at-rest", "file-system"]


def test_an_instance_made_from_a_snapshot_of_the_host_is_the_host_too(host: World) -> None:
    host.call("CreateInstanceSnapshot", instanceName="here", instanceSnapshotName="all")
    host.settle()

    host.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["again"],
        instanceSnapshotName="all",
        availabilityZone=ZONE,
        bundleId="external",
    )
    host.settle()

    assert ask(host, "again-data")["device"] == "/dev/mem1"


def test_a_stop_that_fails_leaves_the_devices(host: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(instance_id: str) -> None:
        assert host.devices.uris == {}
        raise EngineError("broken")

    monkeypatch.setattr(host.engine, "stop", broken)
    host.call("StopInstance", instanceName="here")
    host.settle()

    assert host.operations("here")[0]["status"] == "Failed"
    assert list(host.devices.uris) == [host.disk_id("data")]


def test_a_reboot_makes_the_devices_anew_unless_one_is_in_use(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.devices.mounts[host.disk_id("data")] = "/srv/data"
    with pytest.raises(OperationFailureException, match=r"disk data, .* is mounted at /srv/data"):
        host.call("RebootInstance", instanceName="here")
    host.devices.mounts.clear()
    gone: list[str] = []
    detach = host.devices.detach

    def note(disk_id: str) -> None:
        gone.append(disk_id)
        detach(disk_id)

    monkeypatch.setattr(host.devices, "detach", note)
    host.call("RebootInstance", instanceName="here")
    host.settle()

    assert gone == [host.disk_id("data")]
    assert host.devices.uris == {host.disk_id("data"): host.engine.uri(instance_id(host), "data")}


def test_a_disk_that_is_not_served_keeps_no_thread(host: World) -> None:
    data = host.disk_id("data")
    host.devices.away.add(data)

    with pytest.raises(OperationFailureException, match="can't detach the disk data right now"):
        host.call("DetachDisk", diskName="data")
    assert disk_state(host) == ("in-use", "attached")
    host.call("StopInstance", instanceName="here")
    host.call("CreateDisk", diskName="other", availabilityZone=ZONE, sizeInGb=8)
    host.settle()

    # The job waits, and the others go on, however long it takes.
    assert host.call("GetDisk", diskName="other")["disk"]["state"] == "available"
    host.clock.advance(300)
    host.settle()
    (stop,) = [one for one in host.operations("here") if one["operationType"] == "StopInstance"]
    assert stop["status"] == "Started"
    with host.catalog.read() as transaction:
        (job,) = transaction.jobs.all()
    assert job.error_details == "/dev/mem0 cannot be written through"
    assert 30_000 <= job.not_before_ms - host.clock.now_ms() <= 32_000

    host.devices.away.clear()
    host.settle()

    assert host.operations("here")[0]["status"] == "Succeeded"
    assert host.devices.known() == []
