"""Rules of the state machine: instance snapshots, copies, add-ons and automatic snapshots."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from mooring.jobs.automatic.due import take_due
from mooring.model.automatic.rules import day
from tests.service.machine import CALLER, DISKS, LARGE, SNAPS, TAGGED, WEBS, Resources, tags
from tests.service.machine_model import (
    DENIED,
    INVALID,
    LARGEST_GB,
    MAX_PENDING,
    NOT_FOUND,
    TAKEN,
    WRONG_STATE,
    Disk,
    Outcome,
    Snap,
    Taken,
    Web,
    Whole,
    first,
    is_stored,
)
from tests.service.test_copies import FAR
from tests.service.world import REGION, ZONE

WHOLES = st.sampled_from(["whole-1", "whole-1", "delta"])
BEARERS = st.sampled_from(["alpha", "beta", "web-1", "web-1", "delta", "snap-1", "whole-1"])
TIMES = st.sampled_from(["06:00", "06:00", "18:00"])
FORCE = st.booleans()
ADD_ON = "AutoSnapshot"
ROUND_HOURS = 50
"""After so long every add-on is due, whenever its time of day was set, and it is another day."""


class Snapshots(Resources):
    """Everything, with all kinds of snapshots."""

    def __init__(self) -> None:
        super().__init__()
        # Something of each kind, for random calls mostly name what is not there.
        self.attach("admin", "alpha", "web-1", "/dev/xvdf")
        self.attach("admin", "beta", "web-1", "/dev/xvdg")
        self.settle()
        self.create_snapshot("admin", "snap-1", "beta", False)
        self.create_instance_snapshot("admin", "whole-1", "web-1", False)
        self.enable("admin", "web-1", "06:00")
        self.enable("admin", "alpha", "06:00")
        self.time_passes(1)
        self.settle()

    # --- of instances

    @rule(caller=CALLER, name=WHOLES, web=WEBS, tagged=TAGGED)
    def create_instance_snapshot(self, caller: str, name: str, web: str, tagged: bool) -> None:
        model = self.model
        instance = model.webs.get(web)
        if self.denied(caller, tagged, web) or self.shut(caller, web, disks=True):
            expected: Outcome = DENIED
        elif instance is None:
            expected = NOT_FOUND
        elif name in model.names:
            expected = TAKEN
        elif model.in_motion(web):
            expected = WRONG_STATE
        elif not all(map(is_stored, instance.autos)):
            expected = INVALID
        else:
            expected = first(map(model.freezing, model.attached(web)))
        asked = {"instanceName": web, "instanceSnapshotName": name, "tags": tags(tagged)}
        if self.ask(caller, expected, "CreateInstanceSnapshot", **asked):
            model.wholes[name] = Whole(tagged, model.parts_of(web))

    @rule(caller=CALLER, name=WHOLES)
    def delete_instance_snapshot(self, caller: str, name: str) -> None:
        expected = (
            DENIED
            if self.denied(caller, None, name)
            else NOT_FOUND
            if name not in self.model.wholes
            else None
        )
        if self.ask(caller, expected, "DeleteInstanceSnapshot", instanceSnapshotName=name):
            del self.model.wholes[name]

    @rule(caller=CALLER, name=WEBS, source=WHOLES, tagged=TAGGED, time=st.none() | TIMES)
    def restore_instance(
        self, caller: str, name: str, source: str, tagged: bool, time: str | None
    ) -> None:
        found = self.model.wholes.get(source)
        denied = self.denied(caller, tagged, source)
        expected = DENIED if denied else NOT_FOUND if found is None else None
        named = {"instanceSnapshotName": source}
        self._restore(caller, expected, name, found, tagged, time, named)

    @rule(caller=CALLER, name=WEBS, source=BEARERS, tagged=TAGGED)
    def restore_from_automatic(self, caller: str, name: str, source: str, tagged: bool) -> None:
        web, found = self.model.webs.get(source), self.latest(source)
        expected = (
            DENIED
            if self.denied(caller, tagged, source) or self.shut(caller, source, autos=True)
            else NOT_FOUND
            if source not in self.model.names
            else INVALID
            if web is None
            else NOT_FOUND
            if found is None
            else None
        )
        whole = found if isinstance(found, Whole) else None
        named = {"sourceInstanceName": source, "useLatestRestorableAutoSnapshot": True}
        self._restore(caller, expected, name, whole, tagged, None, named)

    def _restore(
        self,
        caller: str,
        expected: Outcome,
        name: str,
        whole: Whole | None,
        tagged: bool,
        time: str | None,
        named: dict[str, Any],
    ) -> None:
        parts = [] if whole is None else whole.parts
        made = {f"{name}-{part.disk_name}": part for part in parts}
        if expected is None and whole is not None:
            in_use = {name, *made} & self.model.names.keys()
            expected = WRONG_STATE if not is_stored(whole) else TAKEN if in_use else None
        asked = {"instanceNames": [name], "bundleId": "external", "availabilityZone": ZONE}
        more = {} if time is None else {"addOns": [add_on(time)]}
        operation = "CreateInstancesFromSnapshot"
        if self.ask(caller, expected, operation, **asked, **more, **named, tags=tags(tagged)):
            self.model.webs[name] = Web(tagged, add_on=time)
            for disk_name, part in made.items():
                new = Disk(caller == "team", "in-use", "attaching", name, part.path)
                new.size_gb, new.blocks, new.origin = part.size_gb, dict(part.blocks), part
                self.model.disks[disk_name] = new
            self.settle()  # what a deletion of the snapshot before that means is tested elsewhere

    # --- copies

    @rule(caller=CALLER, source=st.one_of(SNAPS, WHOLES), name=SNAPS, far=st.booleans())
    def copy(self, caller: str, source: str, name: str, far: bool) -> None:
        model = self.model
        found: Taken | None = model.snaps.get(source) or model.wholes.get(source)
        expected = NOT_FOUND if found is None else None if is_stored(found) else WRONG_STATE
        self._copy(caller, expected, found, name, far, {"sourceSnapshotName": source})

    @rule(caller=CALLER, source=BEARERS, name=SNAPS, far=st.booleans())
    def keep_automatic(self, caller: str, source: str, name: str, far: bool) -> None:
        found = self.latest(source)
        expected = (
            NOT_FOUND
            if source not in self.model.names
            else INVALID
            if source not in self.model.bearers
            else NOT_FOUND
            if found is None
            else None
        )
        named = {"sourceResourceName": source, "useLatestRestorableAutoSnapshot": True}
        self._copy(caller, expected, found, name, far, named)

    def _copy(
        self,
        caller: str,
        expected: Outcome,
        found: Taken | None,
        name: str,
        far: bool,
        named: dict[str, Any],
    ) -> None:
        model = self.model
        if self.denied(caller, False):  # what is made of it has no tags
            expected = DENIED
        elif expected is None and name in (model.far if far else model.names):
            expected = TAKEN
        asked = {"sourceRegion": REGION, "targetSnapshotName": name, **named}
        region = FAR if far else REGION
        if self.ask(caller, expected, "CopySnapshot", region=region, **asked) and found:
            made: Taken = copied(found) if isinstance(found, Snap) else copied_whole(found)
            if far:
                model.far[name] = made
            elif isinstance(made, Whole):
                model.wholes[name] = made
            else:
                model.snaps[name] = made

    @rule(caller=CALLER, name=SNAPS)
    def delete_far(self, caller: str, name: str) -> None:
        found = self.model.far.get(name)
        whole = isinstance(found, Whole)
        # Copies bear no tags, so who is bound to one has none.
        bound = caller == "reader" or (caller == "team" and found is not None)
        expected = DENIED if bound else NOT_FOUND if found is None else None
        operation, member = (
            ("DeleteInstanceSnapshot", "instanceSnapshotName")
            if whole
            else ("DeleteDiskSnapshot", "diskSnapshotName")
        )
        if self.ask(caller, expected, operation, region=FAR, **{member: name}):
            del self.model.far[name]

    # --- the add-on

    @rule(caller=CALLER, name=BEARERS, time=TIMES)
    def enable(self, caller: str, name: str, time: str) -> None:
        bearer = self.model.bearers.get(name)
        expected = self._bearer(caller, name, disks=True) or (
            INVALID if bearer is not None and bearer.add_on == time else None
        )
        asked = {"resourceName": name, "addOnRequest": add_on(time)}
        if self.ask(caller, expected, "EnableAddOn", **asked) and bearer is not None:
            bearer.add_on, bearer.disabled = time, None

    @rule(caller=CALLER, name=BEARERS)
    def disable(self, caller: str, name: str) -> None:
        bearer = self.model.bearers.get(name)
        expected = self._bearer(caller, name, disks=True) or (
            INVALID if bearer is not None and bearer.add_on is None else None
        )
        asked = {"resourceName": name, "addOnType": ADD_ON}
        if self.ask(caller, expected, "DisableAddOn", **asked) and bearer is not None:
            bearer.add_on, bearer.disabled = None, bearer.add_on

    @rule(caller=CALLER, name=BEARERS, newest=st.booleans())
    def delete_automatic(self, caller: str, name: str, newest: bool) -> None:
        autos: list[Any] = self.model.bearers[name].autos if name in self.model.bearers else []
        found = autos[-1 if newest else 0] if autos else None
        expected = self._bearer(caller, name, autos=True) or (
            NOT_FOUND if found is None else None if is_stored(found) else WRONG_STATE
        )
        date = "2020-02-20" if found is None else found.date
        asked = {"resourceName": name, "date": date}
        if self.ask(caller, expected, "DeleteAutoSnapshot", **asked):
            autos.remove(found)

    @rule(caller=CALLER, name=DISKS, source=BEARERS, tagged=TAGGED)
    def disk_from_automatic(self, caller: str, name: str, source: str, tagged: bool) -> None:
        expected = (
            DENIED
            if self.denied(caller, tagged, source)
            else NOT_FOUND
            if source not in self.model.names
            else INVALID
            if source not in self.model.disks
            else NOT_FOUND
            if self.latest(source) is None
            else TAKEN
            if name in self.model.names
            else None
        )
        asked = {"diskName": name, "sourceDiskName": source, **LARGE, "tags": tags(tagged)}
        latest = {"useLatestRestorableAutoSnapshot": True}
        found = self.latest(source)
        if self.ask(caller, expected, "CreateDiskFromSnapshot", **asked, **latest):
            assert isinstance(found, Snap)
            disk = Disk(tagged, size_gb=LARGEST_GB, blocks=dict(found.blocks), origin=found)
            self.model.disks[name] = disk
            self.settle()

    def latest(self, name: str) -> Taken | None:
        """The newest automatic snapshot that can be used."""
        if name not in self.model.bearers:
            return None
        autos: list[Taken] = [*self.model.bearers[name].autos]
        return next(filter(is_stored, reversed(autos)), None)

    def _bearer(
        self, caller: str, name: str, *, disks: bool = False, autos: bool = False
    ) -> Outcome:
        """What is said of a name that has no add-on, or is not the caller's."""
        if self.denied(caller, None, name) or self.shut(caller, name, disks=disks, autos=autos):
            return DENIED
        if name not in self.model.names:
            return NOT_FOUND
        return None if name in self.model.bearers else INVALID

    # --- time

    @rule(disk=DISKS, snap=SNAPS, web=WEBS, whole=WHOLES)
    def use_at_once(self, disk: str, snap: str, web: str, whole: str) -> None:
        """Ask for more of what has just been asked for, before anything of it is done."""
        self.delete_snapshot("admin", snap)
        self.create_disk("admin", disk, False)
        self.create_snapshot("admin", snap, disk, False)
        self.copy("admin", snap, snap, True)
        for fits in (True, False):
            self.turn("admin", web, fits)
        self.create_instance_snapshot("admin", whole, web, False)

    @rule(web=WEBS, whole=WHOLES)
    def ask_beside_the_automatic_one(self, web: str, whole: str) -> None:
        """A manual snapshot while an automatic one may be under way, with a name that is free."""
        self.delete_instance_snapshot("admin", whole)
        self.time_passes(1)
        self.create_instance_snapshot("admin", whole, web, False)
        self.delete_automatic("admin", web, True)

    @rule(rounds=st.sampled_from([1, 1, 1, 1, 1, 9]))
    def time_passes(self, rounds: int) -> None:
        """Every add-on is due; those that can be are taken, each once."""
        for left in reversed(range(rounds)):
            self.world.clock.advance(ROUND_HOURS * 3600)
            model = self.model
            today = day(self.world.clock.now_ms())
            ready = [name for name in model.bearers if self._can_be_taken(name)]
            begun = take_due(self.world.backend)
            taken = [
                name for name in ready if today in [one["date"] for one in self.automatic(name)]
            ]
            for name in taken:
                self._taken(name, today)
            assert begun == len(taken)
            for name in set(ready) - set(taken):
                # What is due waits for nothing but room in the line of a disk.
                assert any(model.pending(disk) >= MAX_PENDING for disk in self._disks(name))
            if left:
                self.settle()

    def _disks(self, name: str) -> list[Disk]:
        model = self.model
        return [model.disks[name]] if name in model.disks else model.attached(name)

    def _can_be_taken(self, name: str) -> bool:
        bearer = self.model.bearers[name]
        if bearer.add_on is None or not all(map(is_stored, bearer.autos)):
            return False
        if isinstance(bearer, Disk):
            return bearer.state != "pending"
        return not self.model.in_motion(name)

    def _taken(self, name: str, today: str) -> None:
        if name in self.model.disks:
            disk = self.model.disks[name]
            disk.autos.append(Snap(False, disk, date=today))
        else:
            web = self.model.webs[name]
            web.autos.append(Whole(False, self.model.parts_of(name), date=today))
            if is_stored(web.autos[-1]):
                del web.autos[:-7]  # without disks there is nothing to wait for

    # --- what is seen

    def automatic(self, name: str) -> list[Any]:
        """As clients see them, newest first; without attempts that failed."""
        found = self.world.call("GetAutoSnapshots", resourceName=name)["autoSnapshots"]
        return [one for one in found if one["status"] != "Failed"]

    @invariant()
    def add_ons_are_shown(self) -> None:
        shown = {
            one["name"]: [
                (add_on["status"], add_on["snapshotTimeOfDay"]) for add_on in one["addOns"]
            ]
            for operation, member in (("GetDisks", "disks"), ("GetInstances", "instances"))
            for one in self.world.call(operation)[member]
        }
        assert shown == {
            name: [
                (status, time)
                for status, time in (("Enabled", one.add_on), ("Disabled", one.disabled))
                if time is not None
            ]
            for name, one in self.model.bearers.items()
        }

    @invariant()
    def automatic_snapshots_are_those_of_the_model(self) -> None:
        if next(self.numbers) % 4:
            return  # what is wrong stays so, and it takes long
        for name, bearer in self.model.bearers.items():
            autos: list[Taken] = [*bearer.autos]
            assert [(one["date"], one["status"], paths(one)) for one in self.automatic(name)] == [
                (
                    one.date,
                    "Success" if is_stored(one) else "InProgress",
                    [part.path for part in one.parts] if isinstance(one, Whole) else [],
                )
                for one in reversed(autos)
            ]

    @invariant()
    def instance_snapshots_and_copies_are_those_of_the_model(self) -> None:
        far = self.model.far
        for region, wholes in (
            (REGION, self.model.wholes),
            (FAR, {name: one for name, one in far.items() if isinstance(one, Whole)}),
        ):
            found = self.world.call("GetInstanceSnapshots", region=region)["instanceSnapshots"]
            shown = {
                one["name"]: (one["state"], disks_in(one), tags(True)[0] in one["tags"])
                for one in found
            }
            assert shown == {
                name: (one.state, [(part.disk_name, part.path) for part in one.parts], one.tagged)
                for name, one in wholes.items()
            }
        found = self.world.call("GetDiskSnapshots", region=FAR)["diskSnapshots"]
        assert {one["name"]: one["state"] for one in found} == {
            name: one.state for name, one in far.items() if isinstance(one, Snap)
        }
        assert self.world.call("GetActiveNames", region=FAR)["activeNames"] == sorted(far)


def add_on(time: str) -> dict[str, Any]:
    return {"addOnType": ADD_ON, "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": time}}


def copied(one: Snap) -> Snap:
    made = Snap(False, one.disk, copy=True, disk_name=one.disk_name, path=one.path)
    made.size_gb, made.blocks = one.size_gb, dict(one.blocks)
    return made


def copied_whole(one: Whole) -> Whole:
    return Whole(False, [copied(part) for part in one.parts])


def paths(one: Any) -> list[str]:
    return [disk["path"] for disk in one["fromAttachedDisks"]]


def disks_in(one: Any) -> list[tuple[str, str]]:
    return [(disk["name"], disk["path"]) for disk in one["fromAttachedDisks"]]
