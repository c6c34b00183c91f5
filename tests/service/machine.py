"""Random operations by several callers, against a model of the rules: disks, instances, tags.

Nothing happens after a reply until `settle`, so states on the way are met as well. Each call's
outcome is foretold: which error, or success; and after each step lists show what the model has.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mooring.model.access import Access, Role
from mooring.model.errors import ServiceError
from mooring.model.resources.disk import MAX_DISKS_PER_INSTANCE
from tests.service.machine_model import (
    DENIED,
    INVALID,
    LARGEST_GB,
    NOT_FOUND,
    SMALLEST_GB,
    TAKEN,
    WRONG_STATE,
    Disk,
    Model,
    Outcome,
    Snap,
    Web,
)
from tests.service.test_copies import FAR
from tests.service.world import REGION, ZONE, World

NAMES = ["alpha", "beta", "gamma"]
DISKS = st.sampled_from(["alpha", *NAMES, "delta"])
WEBS = st.sampled_from(["web-1", "web-1", "web-2", "delta"])
SNAPS = st.sampled_from(["snap-1", "snap-1", "delta"])
PATHS = st.sampled_from(["/dev/xvdf", "/dev/xvdg", "/dev/xvdh"])
TAGGED = st.booleans()
PLACE: dict[str, Any] = {"availabilityZone": ZONE, "sizeInGb": SMALLEST_GB}
LARGE: dict[str, Any] = {"availabilityZone": ZONE, "sizeInGb": LARGEST_GB}
CALLERS = {
    "admin": Access("admin"),
    "operator": Access("operator", Role.OPERATOR),
    "reader": Access("reader", Role.READ_ONLY),
    "team": Access("team", Role.OPERATOR, {"team": "db"}),
}
CALLER = st.sampled_from([*CALLERS, *["admin", "operator"] * 3])
REACHED: Counter[tuple[str, Outcome]] = Counter()
"""How often each operation had each outcome."""


class Resources(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()
        self.model = Model()
        self.numbers = itertools.count()
        self.last: tuple[str, dict[str, Any], Mapping[str, Any]] | None = None
        self.waits = False
        for name in ("alpha", "beta"):
            self.world.disk(name)
            self.model.disks[name] = Disk(tagged=False, state="available")
        self.world.instance("web-1")
        self.model.webs["web-1"] = Web(tagged=False, state="running")

    def make_world(self) -> World:
        return World()

    def teardown(self) -> None:
        self.world.close()

    # --- what is foretold, and what comes

    def denied(self, caller: str, made: bool | None = None, *names: str) -> bool:
        """Whether the caller may not: `made` is whether what is made gets the tag."""
        if caller == "reader":
            return True
        if caller != "team":
            return False
        found = [self.model.names[name] for name in names if name in self.model.names]
        return made is False or any(not one.tagged for one in found)

    def shut(self, caller: str, web: str, *, disks: bool = False, autos: bool = False) -> bool:
        """Whether the caller may not for what the act reaches through the instance."""
        bound = caller == "team" and web in self.model.webs
        return bound and self.model.foreign(web, disks=disks, autos=autos)

    def ask(self, caller: str, expected: Outcome, operation: str, **params: Any) -> bool:
        """Call; the outcome must be the one expected. Returns whether it was done.

        The name of one of our own requests is in lower case.
        """
        sent = {
            "caller": f"AKIA{caller.upper()}",
            "access": CALLERS[caller],
            "invocation": f"invocation-{next(self.numbers)}",
            **params,
        }
        outcome: Outcome = None
        told, result = "done", dict[str, Any]()
        try:
            call = self.world.act if operation.islower() else self.world.call
            result = dict(call(operation, **sent))
        except ServiceError as error:
            outcome, told = (error.type, error.code), error.message
        REACHED[operation, outcome] += 1
        assert outcome == expected, f"{operation} {params} by {caller}: {told}"
        if outcome is None:
            self.last = (operation, sent, result)
            # Now and then it is waited for: what is on its way refuses nearly everything.
            self.waits = next(self.numbers) % 5 == 0
        return outcome is None

    # --- disks

    @rule(caller=CALLER, name=DISKS, tagged=TAGGED)
    def create_disk(self, caller: str, name: str, tagged: bool) -> None:
        expected = (
            DENIED if self.denied(caller, tagged) else TAKEN if name in self.model.names else None
        )
        if self.ask(caller, expected, "CreateDisk", diskName=name, tags=tags(tagged), **PLACE):
            self.model.disks[name] = Disk(tagged)

    @rule(caller=CALLER, name=DISKS, force=st.booleans())
    def delete_disk(self, caller: str, name: str, force: bool) -> None:
        disk = self.model.disks.get(name)
        expected = (
            DENIED
            if self.denied(caller, None, name)
            else NOT_FOUND
            if disk is None
            else WRONG_STATE
            if disk.attachment != "detached"
            else INVALID
            if disk.add_on is not None and not force
            else None
        )
        if self.ask(caller, expected, "DeleteDisk", diskName=name, forceDeleteAddOns=force):
            del self.model.disks[name]

    @rule(caller=CALLER, name=DISKS, snap=SNAPS, tagged=TAGGED)
    def disk_from_snapshot(self, caller: str, name: str, snap: str, tagged: bool) -> None:
        found = self.model.snaps.get(snap)
        expected = (
            DENIED
            if self.denied(caller, tagged, snap)
            else NOT_FOUND
            if found is None
            else WRONG_STATE
            if found.state != "completed"
            else TAKEN
            if name in self.model.names
            else None
        )
        asked = {"diskName": name, "diskSnapshotName": snap, "tags": tags(tagged)}
        if self.ask(caller, expected, "CreateDiskFromSnapshot", **asked, **LARGE) and found:
            disk = Disk(tagged, size_gb=LARGEST_GB, blocks=dict(found.blocks), origin=found)
            self.model.disks[name] = disk
            self.settle()  # what a deletion of the snapshot before that means is tested elsewhere

    # --- instances and attachments

    @rule(caller=CALLER, name=WEBS, tagged=TAGGED)
    def create_instance(self, caller: str, name: str, tagged: bool) -> None:
        expected = (
            DENIED if self.denied(caller, tagged) else TAKEN if name in self.model.names else None
        )
        place = {"availabilityZone": ZONE, "blueprintId": "external", "bundleId": "external"}
        asked = {"instanceNames": [name], "tags": tags(tagged)}
        if self.ask(caller, expected, "CreateInstances", **asked, **place):
            self.model.webs[name] = Web(tagged)

    @rule(caller=CALLER, name=WEBS, force=st.booleans())
    def delete_instance(self, caller: str, name: str, force: bool) -> None:
        web = self.model.webs.get(name)
        under_way = any(
            disk.attachment in ("attaching", "detaching") for disk in self.model.attached(name)
        )
        expected = (
            DENIED
            if self.denied(caller, None, name) or self.shut(caller, name, disks=True, autos=True)
            else NOT_FOUND
            if web is None
            else WRONG_STATE
            if under_way
            else INVALID
            if web.add_on is not None and not force
            else None
        )
        asked = {"instanceName": name, "forceDeleteAddOns": force}
        if self.ask(caller, expected, "DeleteInstance", **asked):
            for disk in self.model.attached(name):
                disk.attachment, disk.web = "detaching", None
            del self.model.webs[name]

    @rule(caller=CALLER, name=WEBS, fits=st.sampled_from([True, True, False]))
    def turn(self, caller: str, name: str, fits: bool) -> None:
        web = self.model.webs.get(name)
        start = (web is not None and web.state == "stopped") == fits
        before, meanwhile = ("stopped", "pending") if start else ("running", "stopping")
        expected = (
            DENIED
            if self.denied(caller, None, name) or self.shut(caller, name, disks=True)
            else NOT_FOUND
            if web is None
            else WRONG_STATE
            if web.state != before
            else None
        )
        operation = "StartInstance" if start else "StopInstance"
        if self.ask(caller, expected, operation, instanceName=name) and web is not None:
            web.state = meanwhile

    @rule(caller=CALLER, name=DISKS, web=WEBS, path=PATHS)
    def attach(self, caller: str, name: str, web: str, path: str) -> None:
        disk, instance = self.model.disks.get(name), self.model.webs.get(web)
        others = self.model.attached(web)
        expected = (
            DENIED
            if self.denied(caller, None, name, web)
            else NOT_FOUND
            if disk is None or instance is None
            else WRONG_STATE
            if disk.state != "available" or instance.state not in ("running", "stopped")
            else INVALID
            if len(others) >= MAX_DISKS_PER_INSTANCE or path in [one.path for one in others]
            else None
        )
        asked = {"diskName": name, "instanceName": web, "diskPath": path}
        if self.ask(caller, expected, "AttachDisk", **asked) and disk is not None:
            disk.state, disk.attachment, disk.web, disk.path = "in-use", "attaching", web, path

    @rule(caller=CALLER, name=DISKS)
    def detach(self, caller: str, name: str) -> None:
        disk = self.model.disks.get(name)
        expected = (
            DENIED
            if self.denied(caller, None, name)
            else NOT_FOUND
            if disk is None
            else WRONG_STATE
            if disk.attachment != "attached"
            else None
        )
        if self.ask(caller, expected, "DetachDisk", diskName=name) and disk is not None:
            disk.attachment = "detaching"

    # --- snapshots

    @rule(caller=CALLER, name=SNAPS, disk_name=DISKS, tagged=TAGGED)
    def create_snapshot(self, caller: str, name: str, disk_name: str, tagged: bool) -> None:
        disk = self.model.disks.get(disk_name)
        expected = (
            DENIED
            if self.denied(caller, tagged, disk_name)
            else NOT_FOUND
            if disk is None
            else TAKEN
            if name in self.model.names
            else self.model.freezing(disk)
        )
        asked = {"diskName": disk_name, "diskSnapshotName": name, "tags": tags(tagged)}
        if self.ask(caller, expected, "CreateDiskSnapshot", **asked) and disk is not None:
            self.model.snaps[name] = Snap(tagged, disk)

    @rule(caller=CALLER, name=SNAPS)
    def delete_snapshot(self, caller: str, name: str) -> None:
        expected = (
            DENIED
            if self.denied(caller, None, name)
            else NOT_FOUND
            if name not in self.model.snaps
            else None
        )
        if self.ask(caller, expected, "DeleteDiskSnapshot", diskSnapshotName=name):
            del self.model.snaps[name]

    # --- tags, retries, time

    @rule(
        caller=CALLER, name=st.sampled_from([*NAMES, "web-1", "snap-1", "whole-1"]), tagged=TAGGED
    )
    def tag(self, caller: str, name: str, tagged: bool) -> None:
        found = self.model.names.get(name)
        bound = caller == "team" and not tagged  # it must not take off what binds it
        expected = (
            DENIED
            if self.denied(caller, None, name) or bound or self.shut(caller, name, disks=True)
            else NOT_FOUND
            if found is None
            else None
        )
        operation, given = (
            ("TagResource", {"tags": tags(True)})
            if tagged
            else ("UntagResource", {"tagKeys": ["team"]})
        )
        if self.ask(caller, expected, operation, resourceName=name, **given) and found is not None:
            found.tagged = tagged

    @rule()
    def ask_again(self) -> None:
        """A client whose answer was lost gets the same one, and nothing happens twice."""
        if self.last is not None:
            operation, sent, result = self.last
            call = self.world.act if operation.islower() else self.world.call
            assert call(operation, **sent) == result

    @rule()
    def settle(self) -> None:
        self.world.settle()
        self.model.settle()
        for region in (REGION, FAR):
            for operation in self.world.call("GetOperations", region=region)["operations"]:
                assert operation["isTerminal"], operation

    # --- what is seen

    @invariant()
    def lists_show_what_there_is(self) -> None:
        model = self.model
        shown = {disk["name"]: disk for disk in self.world.call("GetDisks")["disks"]}
        assert shown.keys() == model.disks.keys()
        for name, disk in model.disks.items():
            found = shown[name]
            assert (found["state"], found["attachmentState"]) == (disk.state, disk.attachment)
            assert found["attachedTo"] == disk.web
            assert bool(found["tags"]) == disk.tagged
            assert found["sizeInGb"] == disk.size_gb
        webs = self.world.call("GetInstances")["instances"]
        assert {web["name"]: web["state"]["name"] for web in webs} == {
            name: web.state for name, web in model.webs.items()
        }
        snaps = self.world.call("GetDiskSnapshots")["diskSnapshots"]
        assert {snap["name"]: (snap["state"], snap["sizeInGb"]) for snap in snaps} == {
            name: (snap.state, snap.size_gb) for name, snap in model.snaps.items()
        }
        assert self.world.call("GetActiveNames")["activeNames"] == sorted(model.names)
        if self.waits:
            self.settle()
            self.waits = False

    @invariant()
    def who_is_bound_sees_its_own(self) -> None:
        team = CALLERS["team"]
        seen = [disk["name"] for disk in self.world.call("GetDisks", access=team)["disks"]]
        assert set(seen) == {name for name, disk in self.model.disks.items() if disk.tagged}


def tags(tagged: bool) -> list[dict[str, str]]:
    return [{"key": "team", "value": "db"}] if tagged else []
