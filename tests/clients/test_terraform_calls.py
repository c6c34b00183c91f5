"""The calls that Terraform's provider makes, and what it reads in answers.

Terraform itself is not at hand in tests. Its provider for Lightsail (internal/service/lightsail)
takes the first operation of an answer, polls it until `Completed` or `Succeeded`, with `Started`
the only state that may come before, and then reads the resource.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from tests.clients.boto import Refused
from tests.clients.site import REGION, ZONE, Site

pytestmark = pytest.mark.full

BUSY = ("Please try again in a few minutes", "Please wait for it to complete before trying again")
"""Messages of InvalidInputException on which the provider tries again."""


class Provider:
    """Does what the provider does."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def apply(self, operation: str, **params: Any) -> None:
        """Call, and wait for the first operation of the answer."""
        found = self._call(operation, **params)["operations"]
        assert found, "an empty list is an error for the provider"
        operation_id = found[0]["id"]
        for _ in range(600):
            shown = self._call("GetOperation", operationId=operation_id)["operation"]
            if shown["status"] in ("Completed", "Succeeded"):
                return
            assert shown["status"] == "Started", "anything else ends the provider's wait"
            threading.Event().wait(0.02)
        raise AssertionError(f"{operation} does not end")

    def _call(self, operation: str, **params: Any) -> Mapping[str, Any]:
        for _ in range(100):
            try:
                return self.site.call(operation, **params)
            except Refused as error:
                busy = error.code == "InvalidInputException" and any(
                    text in error.message for text in BUSY
                )
                if not busy:
                    raise
            threading.Event().wait(0.1)
        raise AssertionError(f"{operation} is refused for ever")

    def disk(self, name: str) -> dict[str, Any] | None:
        """The attributes of the resource aws_lightsail_disk; None when it is gone."""
        try:
            found = self._call("GetDisk", diskName=name)["disk"]
        except Refused as error:
            if (error.code, error.body_code) != ("NotFoundException", "DoesNotExist"):
                raise
            return None
        return {
            "arn": found["arn"],
            "availability_zone": found["location"]["availabilityZone"],
            "created_at": found["createdAt"],
            "name": found["name"],
            "size_in_gb": found["sizeInGb"],
            "support_code": found["supportCode"],
            "tags": {tag["key"]: tag.get("value", "") for tag in found["tags"]},
        }

    def attached(self, disk: str, instance: str) -> str | None:
        """The path of the resource aws_lightsail_disk_attachment; None when it is gone."""
        found = self._call("GetDisk", diskName=disk)["disk"]
        if not found["isAttached"] or found.get("attachedTo") != instance:
            return None
        return str(found["path"])

    def add_ons(self, instance: str) -> list[tuple[str, str, str]]:
        """The blocks add_on of the resource aws_lightsail_instance."""
        found = self._call("GetInstance", instanceName=instance)["instance"]["addOns"]
        return [(one["name"], one["snapshotTimeOfDay"], one["status"]) for one in found]

    def detach(self, disk: str, instance: str) -> None:
        """Stop the instance if it runs, detach, start it again."""
        ran = self._state(instance) == "running"
        if ran:
            self.apply("StopInstance", instanceName=instance)
            assert self._state(instance) == "stopped"
        self.apply("DetachDisk", diskName=disk)
        if ran:
            self.apply("StartInstance", instanceName=instance)

    def _state(self, instance: str) -> str:
        for _ in range(600):
            name = self._call("GetInstanceState", instanceName=instance)["state"]["name"]
            if name in ("running", "stopped"):
                return str(name)
            threading.Event().wait(0.02)
        raise AssertionError(f"{instance} comes to no rest")


def test_apply_plan_change_and_destroy(site: Site) -> None:
    terraform = Provider(site)
    disk, web = site.fresh("tf-disk"), site.fresh("tf-web")

    # apply
    tags = [{"key": "Name", "value": "data"}, {"key": "only"}]
    terraform.apply("CreateDisk", availabilityZone=ZONE, diskName=disk, sizeInGb=8, tags=tags)
    terraform.apply(
        "CreateInstances",
        availabilityZone=ZONE,
        blueprintId="external",
        bundleId="external",
        instanceNames=[web],
        ipAddressType="dualstack",
    )
    terraform.apply("AttachDisk", diskName=disk, diskPath="/dev/xvdf", instanceName=web)

    # plan: what is read is what was asked for, and stays so
    first = terraform.disk(disk)
    assert first is not None
    assert first["arn"].startswith(f"arn:aws:lightsail:{REGION}:")
    assert (first["name"], first["size_in_gb"]) == (disk, 8)
    assert first["availability_zone"] == ZONE
    assert first["tags"] == {"Name": "data", "only": ""}
    assert first["support_code"]
    assert terraform.disk(disk) == first
    assert terraform.attached(disk, web) == "/dev/xvdf"
    instance = site.call("GetInstance", instanceName=web)["instance"]
    assert instance["blueprintId"] == instance["bundleId"] == "external"
    assert instance["ipAddressType"] == "dualstack"

    # a change of tags
    terraform.apply("UntagResource", resourceName=disk, tagKeys=["only"])
    terraform.apply("TagResource", resourceName=disk, tags=[{"key": "Name", "value": "other"}])
    changed = terraform.disk(disk)
    assert changed == {**first, "tags": {"Name": "other"}}

    # an add-on: read as applied, disabled, too, with the time that it keeps
    daily = {"snapshotTimeOfDay": "07:00"}
    request = {"addOnType": "AutoSnapshot", "autoSnapshotAddOnRequest": daily}
    terraform.apply("EnableAddOn", resourceName=web, addOnRequest=request)
    assert terraform.add_ons(web) == [("AutoSnapshot", "07:00", "Enabled")]
    terraform.apply("DisableAddOn", resourceName=web, addOnType="AutoSnapshot")
    assert terraform.add_ons(web) == [("AutoSnapshot", "07:00", "Disabled")]

    # destroy
    terraform.detach(disk, web)
    assert terraform.attached(disk, web) is None
    terraform.apply("DeleteInstance", forceDeleteAddOns=True, instanceName=web)
    terraform.apply("DeleteDisk", diskName=disk)
    assert terraform.disk(disk) is None


def test_an_instance_goes_with_its_disk_still_attached(site: Site) -> None:
    """Destroying the attachment and the instance in any order ends in the same."""
    terraform = Provider(site)
    disk, web = site.attached()

    terraform.apply("DeleteInstance", forceDeleteAddOns=True, instanceName=web)

    site.disk_is(disk, attachmentState="detached")
    assert terraform.attached(disk, web) is None
    terraform.apply("DeleteDisk", diskName=disk)
    assert terraform.disk(disk) is None
