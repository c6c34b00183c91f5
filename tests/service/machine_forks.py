"""Rules of the state machine: forks of instances, their disks, and what snapshots hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.snapshot import DiskSnapshot
from tests.service.machine import CALLER, SNAPS, TAGGED, WEBS, tags
from tests.service.machine_changes import HELD, PLACES, SIZES, Changes, without_zeros
from tests.service.machine_model import (
    DENIED,
    INVALID,
    NOT_FOUND,
    TAKEN,
    WRONG_STATE,
    Blocks,
    Outcome,
    Snap,
    Taken,
    Web,
    Whole,
    first,
    is_stored,
)
from tests.service.machine_snapshots import WHOLES
from tests.service.test_copies import FAR
from tests.service.world import REGION

ANY = st.integers(0, 99)
"""Which of the disks that there are, whatever they are called."""


class Forks(Changes):
    """Everything, with instances that are forked."""

    def __init__(self) -> None:
        self.checked = set[str]()
        super().__init__()

    @rule(caller=CALLER, name=WEBS, source=WEBS, tagged=TAGGED, kept=st.none() | WHOLES)
    def fork_instance(
        self, caller: str, name: str, source: str, tagged: bool, kept: str | None
    ) -> None:
        self._fork_instance(caller, name, source, tagged, kept)

    @rule(settled=st.booleans(), kept=WHOLES)
    def fork_a_fork(self, settled: bool, kept: str) -> None:
        """Of one that has just been made, and keep that instant, too."""
        for name in ("web-2", "delta"):
            self.delete_instance("admin", name, True)
        for name in [name for name in self.model.disks if name.startswith(("web-2-", "delta-"))]:
            self.settle()
            self.delete_disk("admin", name, True)
        self._fork_instance("admin", "web-2", "web-1", False, None)
        if settled:
            self.settle()
        self.delete_instance_snapshot("admin", kept)
        self._fork_instance("admin", "delta", "web-2", False, kept)

    @rule(web=WEBS)
    def ask_for_forks_at_once(self, web: str) -> None:
        """Of an instance that is stopping or starting, and beside an automatic snapshot."""
        self.settle()
        self.turn("admin", web, True)
        self._fork_instance("admin", "web-2", web, False, None)
        self.settle()
        self.time_passes(1)
        self._fork_instance("admin", "web-2", web, False, None)

    @rule(name=st.sampled_from(["gamma", "delta"]))
    def ask_of_what_is_gone(self, name: str) -> None:
        """Everything that changes a disk, of one that was deleted a moment ago, and may not be."""
        self.delete_instance("reader", "web-1", True)
        self.delete_disk("admin", name, True)
        self.grow("admin", name, 16)
        self._fork("admin", "beta", name, False, None)
        self.revert("admin", name, "snap-1", None)
        self.create_snapshot("admin", "snap-1", name, False)

    def _fork_instance(
        self, caller: str, name: str, source: str, tagged: bool, kept: str | None
    ) -> None:
        model = self.model
        web, disks = model.webs.get(source), model.attached(source)
        names = {name: disk for name, disk in model.disks.items() if disk.web == source}
        own = [one.removeprefix(f"{source}-") for one in names]
        if len(set(own)) < len(own):
            own = list(names)
        made = {f"{name}-{one}": disk for one, disk in zip(own, names.values(), strict=True)}
        if self.denied(caller, tagged, source) or self.shut(caller, source, disks=True):
            expected: Outcome = DENIED
        elif kept == name:
            expected = INVALID
        elif web is None:
            expected = NOT_FOUND
        elif not disks:
            expected = INVALID
        elif {name, kept, *made} & model.names.keys():
            expected = TAKEN
        elif model.in_motion(source):
            expected = WRONG_STATE
        elif kept is None:
            expected = first(map(model.forking, disks))
        elif not all(map(is_stored, web.autos)):
            expected = INVALID
        else:
            expected = first(map(model.freezing, disks))
        asked: dict[str, Any] = {"instanceName": source, "newInstanceName": name}
        if kept is not None:
            asked["instanceSnapshotName"] = kept
        if not self.ask(caller, expected, "fork-instance", **asked, tags=tags(tagged)):
            return
        if kept is not None:
            model.wholes[kept] = Whole(caller == "team", model.parts_of(source))
        model.webs[name] = Web(tagged, "running")
        for called, disk in made.items():
            new = model.disks[called] = disk.fork()
            new.state, new.attachment, new.web, new.path = "in-use", "attached", name, disk.path
            new.tagged = caller == "team"

    # --- the disks of forks, which no other rule names

    @rule(which=ANY, place=st.sampled_from([*PLACES, -1]), fill=st.integers(0, 255))
    def write_any(self, which: int, place: int, fill: int) -> None:
        self.write(self.any(which), place, fill)

    @rule(caller=CALLER, which=ANY, size_gb=SIZES)
    def grow_any(self, caller: str, which: int, size_gb: int) -> None:
        self.grow(caller, self.any(which), size_gb)

    @rule(caller=CALLER, which=ANY, snap=SNAPS, tagged=TAGGED)
    def snapshot_any(self, caller: str, which: int, snap: str, tagged: bool) -> None:
        self.create_snapshot(caller, snap, self.any(which), tagged)

    @rule(caller=CALLER, which=ANY, snap=HELD, kept=st.none() | SNAPS)
    def revert_any(self, caller: str, which: int, snap: str, kept: str | None) -> None:
        self.revert(caller, self.any(which), snap, kept)

    @rule(caller=CALLER, which=ANY)
    def detach_any(self, caller: str, which: int) -> None:
        self.detach(caller, self.any(which))

    @rule(caller=CALLER, which=ANY, force=st.booleans())
    def delete_any(self, caller: str, which: int, force: bool) -> None:
        self.delete_disk(caller, self.any(which), force)

    def any(self, which: int) -> str:
        names = sorted(self.model.disks)
        return names[which % len(names)] if names else "alpha"

    # --- what is seen

    @invariant()
    def snapshots_hold_what_disks_held(self) -> None:
        """All of it, and nothing else; each is read once, for they do not change."""
        for region, snapshot, snap in self._stored():
            if snapshot.id not in self.checked:
                self.checked.add(snapshot.id)
                assert self._content(region, snapshot) == without_zeros(snap.blocks), snapshot.name

    def _stored(self) -> Iterator[tuple[str, DiskSnapshot, Snap]]:
        """Each disk snapshot that is stored, with the model of it."""
        model = self.model
        near: dict[str, Taken] = {**model.snaps, **model.wholes}
        with self.world.catalog.read() as transaction:
            for region, named in ((REGION, near), (FAR, model.far)):
                for name, one in named.items():
                    found: Snapshot | None = transaction.snapshots.by_name(region, name)
                    if isinstance(one, Whole):
                        found = transaction.instance_snapshots.by_name(region, name)
                    assert found is not None
                    for snapshot, snap in zip(found.members, one.parts, strict=True):
                        if snap.state != "pending":
                            yield region, snapshot, snap

    def _content(self, region: str, snapshot: DiskSnapshot) -> Blocks:
        reader = self.world.backend.vaults[region].open(snapshot.id)
        try:
            found = {
                place // BLOCK_SIZE: bytes(reader.read(place, BLOCK_SIZE))
                for extent in reader.extents()
                if not extent.zero
                for place in range(extent.offset, extent.end, BLOCK_SIZE)
            }
        finally:
            reader.close()
        return without_zeros(found)
