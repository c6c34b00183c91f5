"""What is set on instances and read back, and rebooting."""

from __future__ import annotations

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from tests.service.world import World


def test_a_reboot_serves_the_disks_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.disk()
    world.instance()
    world.attach()
    done: list[str] = []
    stop, attach = world.engine.stop, world.engine.attach

    def note_stop(instance: str) -> None:
        done.append("stop")
        stop(instance)

    def note_attach(instance: str, export: Export) -> None:
        done.append(export.name)
        attach(instance, export)

    monkeypatch.setattr(world.engine, "stop", note_stop)
    monkeypatch.setattr(world.engine, "attach", note_attach)
    world.call("RebootInstance", instanceName="web")
    world.settle()

    assert done == ["stop", "data"]
    assert world.call("GetDisk", diskName="data")["disk"]["isAttached"]


def test_only_what_runs_can_be_rebooted(world: World) -> None:
    world.instance()
    world.call("StopInstance", instanceName="web")
    with pytest.raises(OperationFailureException, match="The state of this instance is: stopping"):
        world.call("RebootInstance", instanceName="web")


def test_a_stop_asked_for_before_the_reboot_is_done_stays_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk()
    world.instance()
    world.attach()
    served: list[str] = []
    attach = world.engine.attach

    def failing_once(instance: str, export: Export) -> None:
        served.append(export.name)
        if len(served) == 1:
            raise EngineError("busy")
        attach(instance, export)

    monkeypatch.setattr(world.engine, "attach", failing_once)
    world.call("RebootInstance", instanceName="web")
    world.call("StopInstance", instanceName="web")
    world.settle()

    assert world.call("GetInstanceState", instanceName="web")["state"]["name"] == "stopped"
    assert served == ["data", "data"]
    assert world.engine.uri(world.disk_id("data"), "data")


def test_metadata_options_that_are_not_given_stay(world: World) -> None:
    world.instance()

    def options() -> object:
        return world.call("GetInstance", instanceName="web")["instance"]["metadataOptions"]

    assert options() is None
    world.call("UpdateInstanceMetadataOptions", instanceName="web", httpPutResponseHopLimit=2)
    world.call("UpdateInstanceMetadataOptions", instanceName="web", httpTokens="required")

    assert options() == {
        "state": "applied",
        "httpTokens": "required",
        "httpEndpoint": "enabled",
        "httpPutResponseHopLimit": 2,
        "httpProtocolIpv6": "disabled",
    }
    with pytest.raises(InvalidInputException, match="must be 1 to 64, not 65"):
        world.call("UpdateInstanceMetadataOptions", instanceName="web", httpPutResponseHopLimit=65)


def test_only_instances_have_an_address_type(world: World) -> None:
    with pytest.raises(NotFoundException, match="The LoadBalancer does not exist: front"):
        world.call(
            "SetIpAddressType",
            resourceType="LoadBalancer",
            resourceName="front",
            ipAddressType="ipv4",
        )
    with pytest.raises(NotFoundException, match="The Instance does not exist: front"):
        world.call(
            "SetIpAddressType",
            resourceType="Instance",
            resourceName="front",
            ipAddressType="ipv4",
        )
