"""Errors as boto3 shows them: class, code, message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.clients.boto import Boto, Refused
from tests.clients.shapes import errors_of
from tests.clients.site import OTHER_ZONE, ZONE, Site

pytestmark = pytest.mark.full

NAMES = (
    "Resource names must be at least 2 characters long and contain only alphanumerics, -, _, and ."
)
SIZES = "The size of a block storage disk must be between 8 and 16384 GB."
NEW_DISK = {"availabilityZone": ZONE, "sizeInGb": 8}
NEW_INSTANCE = {"instanceNames": ["web"], "availabilityZone": ZONE}
LONG = "x!" * 10_000


def refused(site: Site, operation: str, params: Mapping[str, Any], **options: Any) -> Refused:
    reply = site.boto.reply(operation, params, **options)
    assert reply.error is not None, reply.result
    return reply.error


def modelled(site: Site, operation: str, params: Mapping[str, Any]) -> tuple[str, str, str]:
    """Class, `code` and message of an error that the model gives the operation."""
    error = refused(site, operation, params)
    assert error.type == error.code
    assert error.type in errors_of(operation)
    assert error.status == 400
    assert error.modelled["message"] == error.message
    assert error.modelled["ResponseMetadata"]["RetryAttempts"] == 0
    assert error.text == (
        f"An error occurred ({error.type}) when calling the {operation} operation: {error.message}"
    )
    return error.type, error.body_code, error.message


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("GetDisk", {"diskName": "nope"}, "The Disk does not exist: nope"),
        ("DeleteDisk", {"diskName": "nope"}, "The Disk does not exist: nope"),
        ("DetachDisk", {"diskName": "nope"}, "The Disk does not exist: nope"),
        (
            "AttachDisk",
            {"diskName": "nope", "instanceName": "none", "diskPath": "/dev/xvdf"},
            "The Instance does not exist: none",
        ),
        (
            "CreateDiskSnapshot",
            {"diskName": "nope", "diskSnapshotName": "snap"},
            "The Disk does not exist: nope",
        ),
        (
            "CreateDiskFromSnapshot",
            {"diskName": "made-of-nothing", "diskSnapshotName": "nope", **NEW_DISK},
            "The DiskSnapshot does not exist: nope",
        ),
        (
            "GetDiskSnapshot",
            {"diskSnapshotName": "nope"},
            "The DiskSnapshot does not exist: nope",
        ),
        (
            "DeleteDiskSnapshot",
            {"diskSnapshotName": "nope"},
            "The DiskSnapshot does not exist: nope",
        ),
        (
            "CreateInstanceSnapshot",
            {"instanceName": "nope", "instanceSnapshotName": "snap"},
            "The Instance does not exist: nope",
        ),
        (
            "CreateInstancesFromSnapshot",
            {
                "instanceNames": ["web"],
                "availabilityZone": ZONE,
                "bundleId": "external",
                "instanceSnapshotName": "nope",
            },
            "The InstanceSnapshot does not exist: nope",
        ),
        (
            "ExportSnapshot",
            {"sourceSnapshotName": "nope"},
            "The snapshot does not exist: nope",
        ),
        (
            "GetInstanceSnapshot",
            {"instanceSnapshotName": "nope"},
            "The InstanceSnapshot does not exist: nope",
        ),
        (
            "DeleteInstanceSnapshot",
            {"instanceSnapshotName": "nope"},
            "The InstanceSnapshot does not exist: nope",
        ),
        ("GetInstance", {"instanceName": "nope"}, "The Instance does not exist: nope"),
        ("GetInstanceState", {"instanceName": "nope"}, "The Instance does not exist: nope"),
        ("StartInstance", {"instanceName": "nope"}, "The Instance does not exist: nope"),
        ("StopInstance", {"instanceName": "nope"}, "The Instance does not exist: nope"),
        ("DeleteInstance", {"instanceName": "nope"}, "The Instance does not exist: nope"),
        ("GetOperation", {"operationId": "nope"}, "The Operation does not exist: nope"),
        (
            "GetOperationsForResource",
            {"resourceName": "nope"},
            "The resource does not exist: nope",
        ),
        (
            "TagResource",
            {"resourceName": "nope", "tags": [{"key": "k"}]},
            "The resource does not exist: nope",
        ),
        (
            "UntagResource",
            {"resourceName": "nope", "tagKeys": ["k"]},
            "The resource does not exist: nope",
        ),
    ],
)
def test_missing_things(
    site: Site, operation: str, params: Mapping[str, Any], message: str
) -> None:
    assert modelled(site, operation, params) == ("NotFoundException", "DoesNotExist", message)


@pytest.mark.parametrize("name", ["a", "-ab", "ab-", "a b", "a/b", "..", "über", "a\nb"])
def test_names_that_are_not_valid(site: Site, name: str) -> None:
    found = modelled(site, "CreateDisk", {"diskName": name, **NEW_DISK})

    shown = name.replace("\n", "\\x0a")  # no control character reaches a terminal
    text = f"{shown} is not a valid resource name. {NAMES}"
    assert found == ("InvalidInputException", "InvalidParams", text)


@pytest.mark.parametrize("name", ["", " "])
def test_a_name_that_cannot_be_seen_is_told_in_quotes(site: Site, name: str) -> None:
    kind = {"blueprintId": "external", "bundleId": "external"}
    found = modelled(site, "CreateInstances", {**NEW_INSTANCE, **kind, "instanceNames": [name]})

    text = f"'{name}' is not a valid resource name. {NAMES}"
    assert found == ("InvalidInputException", "InvalidParams", text)


def test_a_name_that_is_too_long(site: Site) -> None:
    found = modelled(site, "CreateDisk", {"diskName": "x" * 256, **NEW_DISK})

    assert found[0] == "InvalidInputException"
    assert "at most 255 characters" in found[2]


@pytest.mark.parametrize("name", ["a.b.c", "A_b-c.9", "x" * 255])
def test_names_that_the_clients_model_would_not_have_but_the_service_has(
    site: Site, name: str
) -> None:
    site.call("CreateDisk", diskName=name, **NEW_DISK)

    site.disk_is(name, state="available")
    site.call("DeleteDisk", diskName=name)


@pytest.mark.parametrize("size", [-1, 0, 7, 16385, 2**31 - 1])
def test_sizes_out_of_range(site: Site, size: int) -> None:
    name = site.fresh("disk")
    found = modelled(
        site, "CreateDisk", {"diskName": name, "availabilityZone": ZONE, "sizeInGb": size}
    )

    assert found == ("InvalidInputException", "InvalidParams", SIZES)
    assert refused(site, "GetDisk", {"diskName": name}).type == "NotFoundException"


def test_the_largest_disk(site: Site) -> None:
    site.call("DeleteDisk", diskName=site.disk(size=16384))


def test_a_size_smaller_than_the_snapshots(site: Site) -> None:
    snapshot = site.snapshot(site.disk(size=10))

    found = modelled(
        site,
        "CreateDiskFromSnapshot",
        {"diskName": site.fresh("small"), "diskSnapshotName": snapshot, **NEW_DISK},
    )

    assert found[0] == "InvalidInputException"
    assert "must be at least 10 GB" in found[2]


def test_names_in_use_by_any_type_of_resource(site: Site) -> None:
    disk, instance = site.attached()
    snapshot = site.snapshot(disk)

    for name in (disk, instance, snapshot):
        taken = ("InvalidInputException", "NameExists", f"Some names are already in use: {name}")
        create_instances = {
            "instanceNames": [site.fresh("web"), name],
            "availabilityZone": ZONE,
            "blueprintId": "external",
            "bundleId": "external",
        }
        from_snapshot = {"diskName": name, "diskSnapshotName": snapshot, **NEW_DISK}
        new_snapshot = {"diskName": disk, "diskSnapshotName": name}
        assert modelled(site, "CreateDisk", {"diskName": name, **NEW_DISK}) == taken
        assert modelled(site, "CreateDiskFromSnapshot", from_snapshot) == taken
        assert modelled(site, "CreateDiskSnapshot", new_snapshot) == taken
        assert modelled(site, "CreateInstances", create_instances) == taken
        assert (
            refused(
                site, "GetInstance", {"instanceName": create_instances["instanceNames"][0]}
            ).type
            == "NotFoundException"
        )


def test_states_that_do_not_allow_it(site: Site) -> None:
    disk, instance = site.attached()
    other = site.instance()

    def failure(operation: str, **params: Any) -> str:
        kind, code, message = modelled(site, operation, params)
        assert (kind, code) == ("OperationFailureException", "OperationFailure")
        return message

    assert failure("DeleteDisk", diskName=disk) == (
        "You can't perform this operation because the disk is still attached "
        f"to a Lightsail instance: {instance}"
    )
    again = failure("AttachDisk", diskName=disk, instanceName=other, diskPath="/dev/xvdf")
    assert again == (
        "You can't attach this disk right now. The state of this disk is: in-use: "
        f"it is attached to the instance {instance}. Detach it first"
    )
    assert "not attached" in failure("DetachDisk", diskName=site.disk())
    assert failure("StartInstance", instanceName=instance) == (
        "You can't start this instance right now. The state of this instance is: running"
    )


@pytest.mark.parametrize("path", ["xvdf", "/dev/", "/dev/../etc/passwd", "/mnt/data"])
def test_disk_paths(site: Site, path: str) -> None:
    params = {"diskName": site.disk(), "instanceName": site.instance(), "diskPath": path}

    kind, code, message = modelled(site, "AttachDisk", params)

    assert (kind, code) == ("InvalidInputException", "InvalidParams")
    assert message.startswith("The disk path is invalid. You must specify a valid disk path.")


def test_disk_and_instance_of_different_zones(site: Site) -> None:
    params = {
        "diskName": site.disk(zone=OTHER_ZONE),
        "instanceName": site.instance(),
        "diskPath": "/dev/xvdf",
    }

    kind, _, message = modelled(site, "AttachDisk", params)

    assert kind == "InvalidInputException"
    assert OTHER_ZONE in message
    assert ZONE in message


def test_zones_of_other_regions(site: Site) -> None:
    params = {"diskName": "disk", "availabilityZone": "us-west-2a", "sizeInGb": 8}

    kind, _, message = modelled(site, "CreateDisk", params)

    assert kind == "InvalidInputException"
    assert message == (
        "The availability zone us-west-2a is not in the region us-east-2. "
        "Its zones are: us-east-2a, us-east-2b."
    )


@pytest.mark.parametrize(
    "sources", [{}, {"diskName": "one", "instanceName": "two"}, {"diskName": ""}]
)
def test_a_snapshot_needs_one_source(site: Site, sources: Mapping[str, str]) -> None:
    kind, _, message = modelled(
        site, "CreateDiskSnapshot", {"diskSnapshotName": site.fresh("snap"), **sources}
    )

    assert kind == "InvalidInputException"
    assert "diskName" in message


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("CreateDomain", {"domainName": "example.org"}),
        ("GetInstanceAccessDetails", {"instanceName": "web"}),
    ],
)
def test_what_is_not_served_says_so(site: Site, operation: str, params: Mapping[str, Any]) -> None:
    kind, code, _ = modelled(site, operation, params)

    assert (kind, code) == ("InvalidInputException", "UnsupportedOperation")


def test_tags_that_are_not_valid(site: Site) -> None:
    disk = site.disk()
    too_many = [{"key": f"k{number}"} for number in range(51)]

    for tags, why in [
        (too_many, "at most 50 tags"),
        ([{"key": "aws:mine"}], "reserved"),
        ([{"key": "k" * 129}], "1 to 128 characters"),
        ([{"key": "k", "value": "v" * 257}], "at most 256 characters"),
        ([{"key": "k", "value": "*"}], "may contain only"),
        ([{"key": "k", "value": "a\nb"}], "may contain only"),
        ([{"value": "v"}], "1 to 128 characters"),
    ]:
        kind, _, message = modelled(site, "TagResource", {"resourceName": disk, "tags": tags})
        assert kind == "InvalidInputException"
        assert why in message
    assert site.call("GetDisk", diskName=disk)["disk"]["tags"] == []


def test_tag_keys_without_end(site: Site) -> None:
    """More than a database takes as parameters of one statement."""
    disk = site.disk()
    site.call("TagResource", resourceName=disk, tags=[{"key": "k1"}, {"key": "stays"}])
    keys = [f"k{number}" for number in range(6000)]

    site.call("UntagResource", resourceName=disk, tagKeys=keys)

    assert site.call("GetDisk", diskName=disk)["disk"]["tags"] == [{"key": "stays"}]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("CreateDisk", {"diskName": "disk", "sizeInGb": 8, "availabilityZone": LONG}),
        ("CreateDisk", {"diskName": LONG, **NEW_DISK}),
        ("CreateInstances", {"blueprintId": LONG, "bundleId": "external", **NEW_INSTANCE}),
        ("CreateInstances", {"blueprintId": "external", "bundleId": LONG, **NEW_INSTANCE}),
        ("CreateDiskSnapshot", {"instanceName": LONG, "diskSnapshotName": "snap"}),
        ("GetOperation", {"operationId": LONG}),
        ("GetDisks", {"pageToken": LONG}),
        ("GetBlueprints", {"appCategory": LONG}),
        ("TagResource", {"resourceName": "disk", "tags": [{"key": LONG}]}),
    ],
)
def test_long_inputs_are_not_repeated_whole(
    site: Site, operation: str, params: Mapping[str, Any]
) -> None:
    _, _, message = modelled(site, operation, params)

    assert 0 < len(message) < 500


def test_an_arn_of_something_else(site: Site) -> None:
    params = {"resourceName": site.disk(), "resourceArn": f"arn:aws:x:y:z/{LONG}", "tags": []}

    kind, _, message = modelled(site, "TagResource", params)

    assert kind == "InvalidInputException"
    assert message.startswith("The ARN arn:aws:x:y:z/")
    assert len(message) < 500


def test_an_unknown_access_key(site: Site) -> None:
    error = refused(site, "GetDisks", {}, client={"key": "AKIANOBODY", "secret": "s"})

    assert (error.type, error.code) == ("ClientError", "UnrecognizedClientException")
    assert error.message == "The security token included in the request is invalid."


def test_a_wrong_secret(site: Site) -> None:
    key = site.environment["AWS_ACCESS_KEY_ID"]
    error = refused(site, "GetDisks", {}, client={"key": key, "secret": "guessed"})

    assert (error.type, error.code) == ("ClientError", "InvalidSignatureException")
    assert error.message.startswith(
        "The request signature we calculated does not match the signature you provided."
    )


def test_no_signature(site: Site) -> None:
    error = refused(site, "GetDisks", {}, client={"unsigned": True})

    assert (error.type, error.code) == ("ClientError", "MissingAuthenticationTokenException")
    assert error.message == "Missing Authentication Token"


@pytest.mark.parametrize(
    ("minutes", "why"), [(-16, "Signature expired"), (16, "Signature not yet current")]
)
def test_a_clock_that_is_wrong(site: Site, minutes: int, why: str) -> None:
    error = refused(site, "GetDisks", {}, twist={"skew": minutes * 60})

    assert (error.type, error.code) == ("ClientError", "InvalidSignatureException")
    assert error.message.startswith(why)


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_a_little_wrong(boto: Boto, minutes: int) -> None:
    boto.reply("GetDisks", {}, twist={"skew": minutes * 60}).get()


def test_a_region_that_is_not_served(site: Site) -> None:
    error = refused(site, "GetDisks", {}, client={"region": "ap-south-1"})

    assert error.code == "InvalidSignatureException"
    assert "not 'ap-south-1'" in error.message
    assert "us-east-2, us-west-2, eu-west-1, sa-east-1, eu-north-1" in error.message


@pytest.mark.parametrize(
    ("body", "code", "why"),
    [
        ("{", "SerializationException", "not valid JSON"),
        ("[]", "SerializationException", "must be a JSON object"),
        ('"text"', "SerializationException", "must be a JSON object"),
        ("\udcff\udcfe", "SerializationException", "not valid JSON"),
        ('{"pageToken": NaN}', "SerializationException", "not valid JSON"),
        ('{"pageToken": 5}', "SerializationException", "pageToken must be a string"),
        ('{"pageToken": {}}', "SerializationException", "pageToken must be a string"),
        ("[" * 60000, "SerializationException", "nested too deeply"),
        ('{"pageToken": "' + "x" * 65536 + '"}', "InvalidInputException", "65536 bytes"),
        ('{"pageToken": "' + "x" * 4_000_000 + '"}', "InvalidInputException", "65536 bytes"),
    ],
    ids=lambda value: value[:20],
)
def test_bodies_that_are_not_inputs(site: Site, body: str, code: str, why: str) -> None:
    error = refused(site, "GetDisks", {}, twist={"body": body})

    assert error.code == code
    assert why in error.message
    assert error.status == 400
    site.call("GetDisks")


def test_a_body_that_is_empty_counts_as_no_input(boto: Boto) -> None:
    boto.reply("GetDisks", {}, twist={"body": ""}).get()


def test_members_of_newer_clients_are_ignored(boto: Boto) -> None:
    boto.reply("GetDisks", {}, twist={"body": '{"sinceTomorrow": true, "pageToken": null}'}).get()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Amz-Target": "Lightsail_20161128.FlyToTheMoon"}, "UnknownOperationException"),
        ({"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "UnknownOperationException"),
        ({"X-Amz-Target": ""}, "UnknownOperationException"),
        ({"Content-Type": "application/json"}, "SerializationException"),
    ],
)
def test_headers_that_do_not_fit(site: Site, headers: Mapping[str, str], code: str) -> None:
    error = refused(site, "GetDisks", {}, twist={"headers": headers})

    assert (error.type, error.code) == ("ClientError", code)


def test_a_missing_member_is_named(site: Site) -> None:
    error = refused(site, "GetDisk", {}, client={"validate": False})

    assert error.type == "InvalidInputException"
    assert "'diskName'" in error.message


def test_nothing_was_unforeseen(site: Site) -> None:
    site.call("GetDisks")

    assert "request failed" not in site.log()
