"""Rules of the state machine: what disks hold, growth, forks of disks, and reverts."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from mooring.engine.memory_disk import MemoryDisk
from mooring.model.extents import BLOCK_SIZE, GIB
from tests.service.machine import CALLER, DISKS, SNAPS, TAGGED, tags
from tests.service.machine_model import (
    DENIED,
    INVALID,
    LARGEST_GB,
    NOT_FOUND,
    SMALLEST_GB,
    TAKEN,
    WRONG_STATE,
    Blocks,
    Outcome,
    Snap,
)
from tests.service.machine_snapshots import Snapshots
from tests.service.world import REGION

USABLE = ("available", "in-use")
SIZES = st.sampled_from([SMALLEST_GB, 16, 16, 32, LARGEST_GB])
HELD = st.one_of(SNAPS, st.sampled_from(["whole-1/alpha", "whole-1/beta"]))
"""Names of snapshots of disks, parts of an instance's among them."""
PLACES = (0, 1, SMALLEST_GB * GIB // BLOCK_SIZE - 1)
"""The blocks that are written, beside the last one of a disk."""


class Changes(Snapshots):
    """Everything, with disks that are written, grow, are forked and reverted."""

    @rule(name=DISKS, place=st.sampled_from([*PLACES, -1]), fill=st.integers(0, 255))
    def write(self, name: str, place: int, fill: int) -> None:
        """A client writes a block."""
        disk = self.model.disks.get(name)
        if disk is None or disk.state not in USABLE:
            return
        if self.model.is_awaited():
            self.settle()
        if name not in self.model.disks or disk.growing:
            return
        if place < 0:
            place += disk.size_gb * GIB // BLOCK_SIZE
        data = bytes([fill]) * BLOCK_SIZE
        self.memory(name).write(place * BLOCK_SIZE, data)
        disk.blocks[place] = data

    @rule(caller=CALLER, name=DISKS, size_gb=SIZES)
    def grow(self, caller: str, name: str, size_gb: int) -> None:
        if self.model.is_awaited():
            self.settle()
        disk = self.model.disks.get(name)
        expected = (
            DENIED
            if self.denied(caller, None, name)
            else NOT_FOUND
            if disk is None
            else WRONG_STATE
            if disk.state not in USABLE
            else INVALID
            if size_gb <= disk.size_gb or size_gb < max(disk.growing, default=0)
            else None
        )
        if self.ask(caller, expected, "grow", diskName=name, sizeInGb=size_gb) and disk:
            disk.growing.append(size_gb)

    @rule(caller=CALLER, name=DISKS, source=DISKS, tagged=TAGGED, size_gb=st.none() | SIZES)
    def fork(self, caller: str, name: str, source: str, tagged: bool, size_gb: int | None) -> None:
        self._fork(caller, name, source, tagged, size_gb)

    @rule(name=DISKS, source=DISKS, kept=SNAPS)
    def fork_and_keep(self, name: str, source: str, kept: str) -> None:
        """The instant is a snapshot as well."""
        if name != kept:
            self._fork("admin", name, source, False, None, kept)

    @rule(names=st.permutations(["gamma", "delta"]), settled=st.booleans())
    def change_at_once(self, names: list[str], settled: bool) -> None:
        """Change a disk that was made a moment ago, and one that has just grown."""
        name, other = names
        for one in (other, name):
            self.delete_disk("admin", one, True)
        self.create_disk("admin", name, False)
        if settled:
            self.settle()
        self.grow("admin", name, 16)
        self._fork("admin", other, name, False, None)
        self.settle()
        self._fork("admin", other, name, False, SMALLEST_GB)

    def _fork(
        self,
        caller: str,
        name: str,
        source: str,
        tagged: bool,
        size_gb: int | None,
        kept: str | None = None,
    ) -> None:
        disk = self.model.disks.get(source)
        if self.denied(caller, tagged, source):
            expected: Outcome = DENIED
        elif disk is None:
            expected = NOT_FOUND
        elif size_gb is not None and size_gb < disk.size_gb:
            expected = INVALID
        elif {name, kept} & self.model.names.keys():
            expected = TAKEN
        else:
            expected = self.model.forking(disk) if kept is None else self.model.freezing(disk)
        asked: dict[str, Any] = {"diskName": source, "newDiskName": name, "tags": tags(tagged)}
        if size_gb is not None:
            asked["sizeInGb"] = size_gb
        if kept is not None:
            asked["diskSnapshotName"] = kept
        if self.ask(caller, expected, "fork", **asked) and disk is not None:
            self.model.disks[name] = disk.fork(size_gb)
            self.model.disks[name].tagged = tagged
            if kept is not None:
                self.model.snaps[kept] = Snap(False, disk)

    @rule(caller=CALLER, name=DISKS, snap=HELD, kept=st.none() | SNAPS)
    def revert(self, caller: str, name: str, snap: str, kept: str | None) -> None:
        if self.model.is_awaited():
            self.settle()
        disk, found = self.model.disks.get(name), self._named(snap)
        if self.denied(caller, None, name, snap.partition("/")[0]):
            expected: Outcome = DENIED
        elif disk is not None and snap in self.model.wholes:
            expected = INVALID  # of which disk in it?
        elif disk is None or found is None:
            expected = NOT_FOUND
        elif disk.state not in USABLE or disk.attachment not in ("attached", "detached"):
            expected = WRONG_STATE
        elif found not in disk.line() and found.disk not in disk.line():
            expected = INVALID
        elif found.state == "pending":
            expected = WRONG_STATE
        elif kept is None:
            expected = None
        else:
            expected = self.model.freezing(disk) or (TAKEN if kept in self.model.names else None)
        how = {"discard": True} if kept is None else {"keptSnapshotName": kept}
        asked = {"diskName": name, "diskSnapshotName": snap, **how}
        if self.ask(caller, expected, "revert", **asked) and disk and found:
            if kept is not None:
                self.model.snaps[kept] = Snap(caller == "team", disk)
            disk.ancestors += [disk.origin] if disk.origin else []
            disk.blocks, disk.origin = dict(found.blocks), found
            # The disk that it is a fork of may have grown since.
            disk.size_gb = max(disk.size_gb, found.size_gb)
            self.settle()  # what a deletion of the snapshot before that means is tested elsewhere

    def _named(self, name: str) -> Snap | None:
        """A snapshot by its own name, or a part of an instance's."""
        whole_name, slash, disk_name = name.partition("/")
        whole = self.model.wholes.get(whole_name) if slash else None
        parts = whole.parts if whole is not None else []
        found = [part for part in parts if part.disk_name == disk_name]
        return found[0] if found else self.model.snaps.get(name)

    @rule(names=st.permutations(["gamma", "delta"]), place=st.sampled_from([*PLACES, -1]))
    def there_and_back(self, names: list[str], place: int) -> None:
        """Go back to a snapshot, and then to what was there before; make a disk of it, too."""
        kept, made = names
        self.delete_disk("admin", kept, True)
        for one in (kept, "snap-1"):
            self.delete_snapshot("admin", one)
        self.create_snapshot("admin", "snap-1", "alpha", False)
        self.write("alpha", place, 7)
        self.settle()
        self.revert("admin", "alpha", "snap-1", "alpha")
        self.revert("admin", "alpha", "snap-1", kept)
        self.revert("admin", "alpha", kept, None)
        self.delete_disk("admin", made, True)
        self.disk_from_snapshot("admin", made, "snap-1", False)

    @rule(name=DISKS)
    def leave_at_once(self, name: str) -> None:
        """Delete an instance while a disk is leaving it."""
        disk = self.model.disks.get(name)
        if disk is not None and disk.web is not None:
            web = disk.web
            self.detach("admin", name)
            if disk.attachment == "detaching":
                self.delete_instance("admin", web, True)

    @rule(name=DISKS)
    def get_free(self, name: str) -> None:
        """Take off the tag that binds the key."""
        self.tag("team", name, False)

    @invariant()
    def disks_hold_what_was_written(self) -> None:
        """All of it, and nothing else."""
        for name, disk in self.model.disks.items():
            if disk.state in USABLE:
                assert held(self.memory(name)) == without_zeros(disk.blocks), name

    def memory(self, name: str) -> MemoryDisk:
        with self.world.catalog.read() as transaction:
            disk = transaction.disks.by_name(REGION, name)
        assert disk is not None
        return self.world.engine._disk(disk.id)


def held(disk: MemoryDisk) -> Blocks:
    """Every block of the disk that is not zeros."""
    below = {} if disk.source is None else disk.source.blocks()
    found = dict[int, bytes | None](below)
    for layer in (disk.base, *(overlay.blocks for overlay in disk.overlays)):
        found.update(layer)
    return without_zeros({place: block or b"" for place, block in found.items()})


def without_zeros(blocks: Blocks) -> Blocks:
    return {place: block for place, block in blocks.items() if block.strip(b"\0")}
