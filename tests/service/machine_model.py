"""What the service should have and answer: the model that random operations are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mooring.model.automatic.rules import KEPT

NOT_FOUND, TAKEN = ("NotFoundException", "DoesNotExist"), ("InvalidInputException", "NameExists")
WRONG_STATE = ("OperationFailureException", "OperationFailure")
INVALID = ("InvalidInputException", "InvalidParams")
TOO_MANY = ("InvalidInputException", "PendingSnapshotLimitExceeded")
DENIED = ("AccessDeniedException", "AccessDenied")
Outcome = tuple[str, str] | None

MAX_PENDING = 5
SMALLEST_GB, LARGEST_GB = 8, 64

Blocks = dict[int, bytes]
"""What a disk holds at some places, which are zeros where it is not said."""


@dataclass(eq=False)
class Disk:
    tagged: bool
    state: str = "pending"
    attachment: str = "detached"
    web: str | None = None
    path: str | None = None
    add_on: str | None = None
    disabled: str | None = None
    autos: list[Snap] = field(default_factory=list)
    size_gb: int = SMALLEST_GB
    growing: list[int] = field(default_factory=list)
    """The sizes asked for, which it does not have yet."""
    blocks: Blocks = field(default_factory=dict)
    origin: Snap | None = None
    ancestors: list[Disk | Snap] = field(default_factory=list)
    """What it was forked from, and made from before a revert."""

    def fork(self, size_gb: int | None = None) -> Disk:
        """A disk that holds the same, and was made of this one."""
        made = Disk(False, "available", size_gb=size_gb or self.size_gb)
        made.blocks, made.origin = dict(self.blocks), self.origin
        made.ancestors = [self, *self.ancestors]
        return made

    def line(self) -> list[Disk | Snap]:
        """The disks whose snapshots it can be reverted to, and further snapshots."""
        return [self, *self.ancestors, *([self.origin] if self.origin else [])]


@dataclass(eq=False)
class Web:
    tagged: bool
    state: str = "pending"
    add_on: str | None = None
    disabled: str | None = None
    autos: list[Whole] = field(default_factory=list)


@dataclass(eq=False)
class Snap:
    """A snapshot of a disk, with what the disk was then; a copy is in no disk's line."""

    tagged: bool
    disk: Disk
    state: str = "pending"
    copy: bool = False
    was_tagged: bool = False
    """Whether the disk had the tag when this was taken of it."""
    disk_name: str = ""
    path: str | None = None
    date: str = ""
    size_gb: int = 0
    blocks: Blocks = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.copy:
            self.size_gb, self.blocks = self.disk.size_gb, dict(self.disk.blocks)

    @property
    def parts(self) -> Sequence[Snap]:
        return [self]


@dataclass(eq=False)
class Whole:
    """A snapshot of an instance."""

    tagged: bool
    parts: list[Snap]
    date: str = ""

    @property
    def state(self) -> str:
        return "pending" if any(one.state == "pending" for one in self.parts) else "available"


Taken = Snap | Whole


def is_stored(one: Taken) -> bool:
    return one.state != "pending"


@dataclass
class Model:
    """What there should be: in the region, and the copies in the other one."""

    disks: dict[str, Disk] = field(default_factory=dict)
    webs: dict[str, Web] = field(default_factory=dict)
    snaps: dict[str, Snap] = field(default_factory=dict)
    wholes: dict[str, Whole] = field(default_factory=dict)
    far: dict[str, Taken] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, Disk | Web | Snap | Whole]:
        return {**self.disks, **self.webs, **self.snaps, **self.wholes}

    @property
    def bearers(self) -> dict[str, Disk | Web]:
        """What can have automatic snapshots."""
        return {**self.disks, **self.webs}

    def taken(self) -> Iterator[Taken]:
        """Every snapshot that there is."""
        yield from self.snaps.values()
        yield from self.wholes.values()
        yield from self.far.values()
        for bearer in self.bearers.values():
            yield from bearer.autos

    def attached(self, web: str) -> list[Disk]:
        return [disk for disk in self.disks.values() if disk.web == web]

    def foreign(self, web: str, *, disks: bool, autos: bool) -> bool:
        """Whether an act on the instance reaches what does not have the tag."""
        there = self.disks.values()
        parts = [part for one in self.webs[web].autos for part in one.parts] if autos else []
        return any(not disk.tagged for disk in self.attached(web) if disks) or any(
            not (part.disk.tagged if part.disk in there else part.was_tagged) for part in parts
        )

    def in_motion(self, web: str) -> bool:
        """Whether it is not clear which disks a snapshot of the instance would hold."""
        return self.webs[web].state not in ("running", "stopped") or any(
            disk.attachment != "attached" for disk in self.attached(web)
        )

    def pending(self, disk: Disk) -> int:
        """How many snapshots of the disk are in its line."""
        return sum(
            part.disk is disk and part.state == "pending" and not part.copy
            for one in self.taken()
            for part in one.parts
        )

    def forking(self, disk: Disk) -> Outcome:
        """What a fork of the disk would be refused for."""
        return None if disk.state in ("available", "in-use") else WRONG_STATE

    def freezing(self, disk: Disk) -> Outcome:
        """What a manual snapshot of the disk would be refused for."""
        if wrong := self.forking(disk):
            return wrong
        if not all(map(is_stored, disk.autos)):
            return INVALID
        return TOO_MANY if self.pending(disk) >= MAX_PENDING else None

    def parts_of(self, web: str) -> list[Snap]:
        """What a snapshot of the instance holds, if it is taken now."""
        return [
            Snap(False, disk, was_tagged=disk.tagged, disk_name=name, path=disk.path)
            for name, disk in self.disks.items()
            if disk.web == web
        ]

    def is_awaited(self) -> bool:
        """Whether automatic snapshots are under way, which may not be frozen yet."""
        return not all(is_stored(auto) for one in self.bearers.values() for auto in one.autos)

    def settle(self) -> None:
        """Everything that is under way comes to its end."""
        for disk in self.disks.values():
            # Disks only grow: a size that is smaller by then is refused.
            disk.size_gb = max([disk.size_gb, *disk.growing])
            disk.growing.clear()
            if disk.state == "pending":
                disk.state = "available"
            if disk.attachment == "attaching":
                disk.attachment = "attached"
            if disk.attachment == "detaching":
                disk.state, disk.attachment = "available", "detached"
                disk.web = disk.path = None
        for name, web in self.webs.items():
            web.state = {"pending": "running", "stopping": "stopped"}.get(web.state, web.state)
            # One that is not frozen yet when other disks are attached is taken back.
            now = set(map(id, self.attached(name)))
            web.autos = [
                one
                for one in web.autos
                if is_stored(one) or {id(part.disk) for part in one.parts} == now
            ]
        stored = [one for one in self.bearers.values() if not all(map(is_stored, one.autos))]
        for one in self.taken():
            for part in one.parts:
                part.state = "completed"
        for bearer in stored:
            # Without the add-on nothing is deleted any more.
            if bearer.add_on is not None:
                del bearer.autos[:-KEPT]


def first(outcomes: Iterable[Outcome]) -> Outcome:
    """The first that is a refusal."""
    return next((one for one in outcomes if one is not None), None)
