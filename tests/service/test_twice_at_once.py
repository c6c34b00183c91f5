"""Each operation asked for twice at the same moment, of one PostgreSQL catalog."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.model.access import Need
from mooring.model.automatic.rhythm import DAY_MS
from mooring.model.clock import SystemClock
from mooring.model.errors import ServiceError
from mooring.model.resources.static_ip import MAX_STATIC_IPS
from mooring.service.own.table import OWN_REQUESTS
from mooring.service.table import OPERATIONS
from tests.catalog.postgresql import PostgreSQL
from tests.service.automatic import add_on, dates, live
from tests.service.blueprints import SYSTEM, add_blueprint, held, own
from tests.service.ssh import PUBLIC_KEY
from tests.service.world import REGION, ZONE, World

OPEN_SECONDS = 0.03
"""How long a transaction stays open when all is done: the other one begins meanwhile."""

pytestmark = pytest.mark.full


class LingeringCatalog(Catalog):
    """Commits so late that whoever looks at the same time sees nothing of it yet."""

    lingers = False

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        with super().write(durable=durable) as transaction:
            yield transaction
            if self.lingers:
                SystemClock().sleep(OPEN_SECONDS)


@pytest.fixture
def world(postgresql: PostgreSQL, tmp_path: Path) -> Iterator[World]:
    catalog = LingeringCatalog(postgresql.url())
    world = World(catalog=catalog, image_files=tmp_path / "files", default_keys=tmp_path / "keys")
    yield world
    world.close()


def at_once(world: World, *asked: tuple[str, Mapping[str, Any]]) -> list[Any]:
    """The answers to requests that are made at the same moment, or their errors."""
    together = threading.Barrier(len(asked))

    def ask(operation: str, params: Mapping[str, Any]) -> Any:
        together.wait(30)
        try:
            if operation in OWN_REQUESTS:
                return own(world, operation, **params)
            return world.call(operation, **params)
        except ServiceError as error:
            return error

    assert isinstance(world.catalog, LingeringCatalog)
    world.catalog.lingers = True
    try:
        with ThreadPoolExecutor(len(asked)) as pool:
            return [one.result(60) for one in [pool.submit(ask, *one) for one in asked]]
    finally:
        world.catalog.lingers = False


def good(answers: Sequence[Any]) -> int:
    """How many were no errors."""
    return sum(not isinstance(answer, ServiceError) for answer in answers)


# --- what has to be there before: disk `data` at instance `web`, its snapshots, addresses, keys


def attached(world: World) -> None:
    world.disk()
    world.instance()
    world.attach()


def detached(world: World) -> None:
    world.disk()
    world.instance()


def stored(world: World) -> None:
    world.disk()
    world.snapshot("first")
    world.settle()


def stored_whole(world: World) -> None:
    attached(world)
    world.instance_snapshot("whole")
    world.settle()


def protected(world: World) -> None:
    world.disk(addOns=[add_on()])


def protected_and_taken(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, DAY_MS)


def with_address(world: World) -> None:
    world.instance()
    world.call("AllocateStaticIp", staticIpName="address")


def with_attached_address(world: World) -> None:
    with_address(world)
    world.call("AttachStaticIp", staticIpName="address", instanceName="web")


def with_keys(world: World) -> None:
    world.call("CreateKeyPair", keyPairName="keys")


def stopped(world: World) -> None:
    world.instance()
    world.call("StopInstance", instanceName="web")
    world.settle()


def nothing(_world: World) -> None:
    pass


Prepare = Callable[[World], None]

DATA = {"diskName": "data"}
WEB = {"instanceName": "web"}
MADE = {"availabilityZone": ZONE, "bundleId": "external"}
PORTS = {"fromPort": 80, "toPort": 80, "protocol": "TCP"}

ONE_OF_THEM: dict[str, tuple[Prepare, Mapping[str, Any]]] = {
    "AllocateStaticIp": (nothing, {"staticIpName": "address"}),
    "AttachDisk": (detached, DATA | WEB | {"diskPath": "/dev/xvdf"}),
    "AttachStaticIp": (with_address, WEB | {"staticIpName": "address"}),
    "CopySnapshot": (
        stored,
        {
            "sourceRegion": REGION,
            "sourceSnapshotName": "first",
            "targetSnapshotName": "copy",
        },
    ),
    "CreateDisk": (nothing, DATA | {"availabilityZone": ZONE, "sizeInGb": 8}),
    "CreateDiskFromSnapshot": (
        stored,
        {
            "diskName": "more",
            "diskSnapshotName": "first",
            "availabilityZone": ZONE,
            "sizeInGb": 8,
        },
    ),
    "CreateDiskSnapshot": (attached, DATA | {"diskSnapshotName": "taken"}),
    "CreateInstanceSnapshot": (attached, WEB | {"instanceSnapshotName": "taken"}),
    "CreateInstances": (nothing, MADE | {"instanceNames": ["web"], "blueprintId": "external"}),
    "CreateInstancesFromSnapshot": (
        stored_whole,
        MADE | {"instanceNames": ["more"], "instanceSnapshotName": "whole"},
    ),
    "CreateKeyPair": (nothing, {"keyPairName": "keys"}),
    "DeleteAutoSnapshot": (protected_and_taken, {"resourceName": "data"}),
    "DeleteDisk": (detached, DATA),
    "DeleteDiskSnapshot": (stored, {"diskSnapshotName": "first"}),
    "DeleteInstance": (attached, WEB),
    "DeleteInstanceSnapshot": (stored_whole, {"instanceSnapshotName": "whole"}),
    "DeleteKeyPair": (with_keys, {"keyPairName": "keys"}),
    "DetachDisk": (attached, DATA),
    "DetachStaticIp": (with_attached_address, {"staticIpName": "address"}),
    "ImportKeyPair": (nothing, {"keyPairName": "mine", "publicKeyBase64": PUBLIC_KEY}),
    "ReleaseStaticIp": (with_address, {"staticIpName": "address"}),
    "StartInstance": (stopped, WEB),
    "StopInstance": (attached, WEB),
}
"""What one of two does, so that the other finds it done."""

BOTH: dict[str, tuple[Prepare, Mapping[str, Any]]] = {
    "CloseInstancePublicPorts": (attached, WEB | {"portInfo": PORTS}),
    "DisableAddOn": (protected, {"resourceName": "data", "addOnType": "AutoSnapshot"}),
    "DownloadDefaultKeyPair": (nothing, {}),
    "EnableAddOn": (stored, {"resourceName": "data", "addOnRequest": add_on()}),
    "ExportSnapshot": (stored, {"sourceSnapshotName": "first"}),
    "OpenInstancePublicPorts": (attached, WEB | {"portInfo": PORTS}),
    "PutInstancePublicPorts": (attached, WEB | {"portInfos": [PORTS]}),
    "RebootInstance": (attached, WEB),
    "SetIpAddressType": (
        attached,
        {"resourceType": "Instance", "resourceName": "web", "ipAddressType": "ipv4"},
    ),
    "TagResource": (stored, {"resourceName": "data", "tags": [{"key": "team", "value": "db"}]}),
    "UntagResource": (stored, {"resourceName": "data", "tagKeys": ["team"]}),
    "UpdateInstanceMetadataOptions": (attached, WEB | {"httpTokens": "required"}),
}
"""What may be done twice."""


OWN_OF_ONE: dict[str, tuple[Prepare, Mapping[str, Any]]] = {
    "blueprint": (stored, {"blueprintId": "debian-13", "diskSnapshotName": "first"}),
    "delete-blueprint": (add_blueprint, {"blueprintId": "debian-13"}),
    "fork": (attached, DATA | {"newDiskName": "more"}),
    "fork-instance": (attached, WEB | {"newInstanceName": "more"}),
}

OWN_OF_BOTH: dict[str, tuple[Prepare, Mapping[str, Any]]] = {
    "grow": (attached, DATA | {"sizeInGb": 16}),
    "revert": (stored, DATA | {"diskSnapshotName": "first"}),
}

ELSEWHERE = {
    "move-disk",
    "move-instance",
    "uri",
    "tcp-uri",
    "device",
    "grant",
    "withdraw",
    "import-place",
    "import",
}
"""Own requests for sockets, devices and images of the server's host, which the catalog is not asked
about, or only as a snapshot's name is taken."""


def test_every_operation_that_changes_something_is_here() -> None:
    changing = {name for name, entry in OPERATIONS.items() if entry.need is not Need.READ}
    assert ONE_OF_THEM.keys() | BOTH.keys() == changing

    own_ones = {name for name, one in OWN_REQUESTS.items() if one.entry.need is Need.CHANGE}
    assert OWN_OF_ONE.keys() | OWN_OF_BOTH.keys() | ELSEWHERE == own_ones


def check_nothing_is_under_way(world: World) -> None:
    """All jobs have ended, and whatever waited for them."""
    world.settle()
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    found = world.call("GetOperations")["operations"]
    assert [one for one in found if not one["isTerminal"]] == []


@pytest.mark.parametrize("operation", sorted({**ONE_OF_THEM, **OWN_OF_ONE}))
def test_one_of_two_does_it(world: World, operation: str) -> None:
    prepare, params = {**ONE_OF_THEM, **OWN_OF_ONE}[operation]
    prepare(world)
    if operation == "DeleteAutoSnapshot":
        params = {**params, "date": dates(world)[0]}

    answers = at_once(world, (operation, params), (operation, params))

    assert good(answers) == 1, answers
    check_nothing_is_under_way(world)


@pytest.mark.parametrize("operation", sorted({**BOTH, **OWN_OF_BOTH}))
def test_both_do_it(world: World, operation: str) -> None:
    prepare, params = {**BOTH, **OWN_OF_BOTH}[operation]
    prepare(world)

    answers = at_once(world, (operation, params), (operation, params))

    assert good(answers) >= 1, answers
    check_nothing_is_under_way(world)


# --- limits and decisions by more than one row


def test_no_more_are_pending_than_may_be(world: World) -> None:
    world.disk()
    asked = [("CreateDiskSnapshot", DATA | {"diskSnapshotName": f"s{n}"}) for n in range(8)]

    answers = at_once(world, *asked)

    assert good(answers) == world.backend.max_pending_snapshots
    check_nothing_is_under_way(world)


def test_a_path_is_given_to_one_disk(world: World) -> None:
    world.instance()
    names = [world.disk(name) and name for name in ("data", "more")]
    asked = [("AttachDisk", WEB | {"diskName": name, "diskPath": "/dev/xvdf"}) for name in names]

    assert good(at_once(world, *asked)) == 1


def test_both_of_two_tags_are_kept(world: World) -> None:
    world.disk()
    tags = [{"resourceName": "data", "tags": [{"key": key, "value": "x"}]} for key in "ab"]

    assert good(at_once(world, *[("TagResource", one) for one in tags])) == 2

    found = world.call("GetDisk", diskName="data")["disk"]["tags"]
    assert {one["key"] for one in found} == {"a", "b"}


def test_each_address_is_given_once_and_no_more_than_may_be(world: World) -> None:
    asked = [("AllocateStaticIp", {"staticIpName": f"address-{n}"}) for n in range(8)]

    assert good(at_once(world, *asked)) == MAX_STATIC_IPS

    found = world.call("GetStaticIps")["staticIps"]
    assert len({one["ipAddress"] for one in found}) == MAX_STATIC_IPS


@pytest.mark.parametrize(
    "other",
    [
        ("DeleteInstance", WEB),
        ("DetachDisk", DATA),
        ("StopInstance", WEB),
        ("CreateInstanceSnapshot", WEB | {"instanceSnapshotName": "whole"}),
        ("CreateDiskSnapshot", DATA | {"diskSnapshotName": "taken"}),
        ("TagResource", {"resourceName": "web", "tags": [{"key": "a", "value": "x"}]}),
    ],
    ids=lambda one: one[0],
)
def test_whatever_meets_a_deletion_of_the_instance(
    world: World, other: tuple[str, Mapping[str, Any]]
) -> None:
    attached(world)

    answers = at_once(world, ("DeleteInstance", WEB), other)

    assert good(answers) >= 1, answers
    check_nothing_is_under_way(world)
    left = world.call("GetInstances")["instances"]
    (disk,) = world.call("GetDisks")["disks"]
    if not left:
        assert (disk["state"], disk["isAttached"]) == ("available", False)


def test_a_snapshot_is_deleted_or_copied_into_a_disk_in_full(world: World) -> None:
    """Whoever reads it was there first, and the deletion waits; or it is gone."""
    disk_id = world.disk()
    world.write(disk_id, 0, b"x" * 4096)
    world.snapshot("first")
    world.settle()
    made = {"diskName": "more", "availabilityZone": ZONE, "sizeInGb": 8}

    answers = at_once(
        world,
        ("CreateDiskFromSnapshot", {**made, "diskSnapshotName": "first"}),
        ("DeleteDiskSnapshot", {"diskSnapshotName": "first"}),
    )

    assert not isinstance(answers[1], ServiceError)
    check_nothing_is_under_way(world)
    if not isinstance(answers[0], ServiceError):
        assert world.read(world.disk_id("more"), 0, 4096) == b"x" * 4096


def test_a_blueprint_is_used_or_deleted(world: World) -> None:
    add_blueprint(world)
    place = {"availabilityZone": ZONE, "bundleId": "external", "blueprintId": "debian-13"}

    answers = at_once(
        world,
        ("CreateInstances", {**place, "instanceNames": ["web"]}),
        ("delete-blueprint", {"blueprintId": "debian-13"}),
    )

    assert good(answers) == 1, answers
    check_nothing_is_under_way(world)
    if not isinstance(answers[0], ServiceError):
        assert held(world, "web-system") == SYSTEM


@pytest.mark.parametrize("other", ["DeleteInstance", "CreateDiskSnapshot"])
def test_a_system_disk_goes_with_its_instance_whatever_it_meets(world: World, other: str) -> None:
    add_blueprint(world)
    world.instance(blueprint="debian-13")
    world.settle()
    more = {"diskSnapshotName": "last"} if other == "CreateDiskSnapshot" else {}

    answers = at_once(world, ("DeleteInstance", WEB), (other, {**WEB, **more}))

    assert not isinstance(answers[0], ServiceError) or other == "DeleteInstance"
    check_nothing_is_under_way(world)
    assert world.call("GetDisks")["disks"] == []
