"""The engine: live disks, and frozen points of them.

Every method may be called from any thread and blocks until done. Every method
that changes something can be repeated: a call that finds its work done returns
as if it had done it. Ids are UUIDs in text; `point_id` is the id of the
snapshot for which the point is frozen. Sizes and offsets are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mooring.model.extents import Extent, Image


@dataclass(frozen=True, slots=True)
class Export:
    """A disk as an instance sees it: under `name` at the instance's socket."""

    disk_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """A process that uses a disk, with how many connections.

    `pid` is 0, and `command` None, for one that is not seen from here, as in another container;
    `command` is None also for one that ended and left its connection to the kernel. `address` is
    that of a client on another host, with its certificate's name; `pid` is the relay's for it.
    """

    pid: int
    command: str | None
    connections: int = 1
    address: str = ""

    def __str__(self) -> str:
        if self.address:
            return self.address
        if not self.pid:
            return "a process that is not visible from here"
        return f"{self.command or 'the kernel, for a process that ended'} (process {self.pid})"


@dataclass(frozen=True, slots=True)
class Clients:
    """Who uses a disk, oldest first, and who was cut off last because somebody did."""

    connected: Sequence[Client] = ()
    refused: str = ""

    def __bool__(self) -> bool:
        return bool(self.connected)

    def __str__(self) -> str:
        return ", ".join(map(str, self.connected))


@dataclass(frozen=True, slots=True)
class Freeze:
    """What a freeze tells: how long the writes were held back, in seconds, at most."""

    pause_seconds: float


@dataclass(frozen=True, slots=True)
class DiskHealth:
    """Whether a disk can be used, and what is wrong with it otherwise.

    `damaged`: a layer is missing or not as it must be, which does not mend by itself.
    """

    ok: bool
    problem: str = ""
    layers: int = 0
    points: Sequence[str] = field(default_factory=tuple)
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where a new disk's content comes from: a snapshot, served read-only over NBD.

    The disk can be read as long as there is a server at `uri`, and needs it no more once it
    is filled. `open` gives the same content as an image, for engines that do not speak NBD.
    """

    snapshot_id: str
    size: int
    uri: str
    open: Callable[[], Image]


@dataclass(frozen=True, slots=True)
class Filling:
    """How far the filling of a disk is: bytes of the source's range, `done` of `total`.

    One that is `forked` needs no source: it copies layers of another disk. Otherwise `filling`
    tells by `snapshot_id` what the disk reads from.
    """

    done: int
    total: int
    forked: bool = False
    snapshot_id: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What is left of what a disk held before it was reverted, last at `point`.

    `points` are those of then that may still be needed, oldest first. They are nowhere else.
    """

    point: str
    points: Sequence[str]


class FrozenImage(Image, Protocol):
    """A frozen point, open for reading. Stays readable until closed."""

    def changes(self, since: str) -> Iterator[Extent]:
        """Yield the ranges written, trimmed or zeroed after the point `since`, ascending.

        Raises LineageLostError if the disk no longer knows that point.
        """
        ...


MayShare = Callable[[str], bool]
"""Whether several processes may use the disk of that id at once."""


def never_shared(_disk_id: str) -> bool:
    """Every disk is for one process."""
    return False


IsOurs = Callable[[str], bool]
"""Whether the disk of that id is this host's; one that nobody knows of is."""


def always_ours(_disk_id: str) -> bool:
    """There is no other host."""
    return True


class Engine(Protocol):
    """Holds live disks. See the conformance suite in tests/engine for what each promises."""

    # --- disks

    def create(self, disk_id: str, size: int) -> None:
        """Make a disk of zeros. Raises DiskFullError, EngineError."""
        ...

    def clone(
        self,
        disk_id: str,
        size: int,
        source: Image,
        origin: str,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Make a disk with the content of `source`, zeros after its end.

        `origin` is the id of the snapshot that the source is: it becomes the point from
        which the disk's first own changes are counted. `progress` is told the bytes copied
        so far, and may raise to give up, which leaves nothing behind. A clone interrupted by
        a crash is begun again when called again.
        """
        ...

    def begin_clone(self, disk_id: str, size: int, source: Source) -> None:
        """Make a disk that has the source's content at once, and zeros after its end.

        It reads from the source what `fill` has not brought yet. The source's snapshot becomes
        the point from which the disk's first own changes are counted. One that is there already
        may have grown since. Raises DiskFullError, EngineError.
        """
        ...

    def fill(
        self,
        disk_id: str,
        source: Image,
        progress: Callable[[Filling], None] = lambda told: None,
        *,
        snapshot_id: str | None = None,
    ) -> None:
        """Bring what the source holds into the disk, so that it stands by itself.

        When it returns, the source given to `begin_clone` or `revert` is not needed any more, by
        a frozen point either, except by those of before a revert. The disk is used as always
        meanwhile. `progress` may raise to give up; called again, it continues where it was. A
        disk that is full already: nothing to do. `snapshot_id` is that of the source: EngineError
        is raised if the disk is to be filled from another one, because it was reverted.
        """
        ...

    def filling(self, disk_id: str) -> Filling | None:
        """How far the filling is; None for a disk that stands by itself, or does not exist."""
        ...

    def fork(self, disk_id: str, point_id: str, fork_id: str, size: int = 0) -> int:
        """Make the detached disk `fork_id` with what the disk held at a point not released yet.

        It can be used at once, and knows the points of the other up to that one, of which none is
        needed to be readable. It has at least `size` bytes, zeros after what the disk held, and
        never fewer than that; the result says how many. Raises EngineError, PointNotFoundError,
        DiskFullError, DiskTooLargeError.
        """
        ...

    def stand_alone(
        self, disk_id: str, progress: Callable[[Filling], None] = lambda told: None
    ) -> None:
        """Let a fork do without the files of the disk that it was made of.

        Either may be used as always meanwhile, and the other deleted. `progress` may raise to give
        up; called again, it continues. A disk that shares nothing: nothing to do.
        """
        ...

    def grow(self, disk_id: str, size: int) -> None:
        """Make the disk larger: the rest reads as zeros. Frozen points keep their size.

        The disk may be in use: its clients are cut off, and find the new size when they connect
        again, as they do by themselves; no request is lost. Raises EngineError, also for a
        smaller size, DiskFullError, DiskTooLargeError; then the disk has its former size.
        """
        ...

    def revert(
        self, disk_id: str, source: Source, point_id: str, *, size: int, keep: bool = True
    ) -> None:
        """Let the disk hold what the source holds, and zeros after that, at once.

        It is like a disk made by `begin_clone` from then on, but attached as before. It gets
        `size` bytes, or keeps its own if that is larger. What it held is the frozen point
        `point_id`, unless `keep` is false; all points that are not released stay readable, and
        other snapshots are no longer counted from them. Raises DiskBusyError if a client is
        connected, EngineError, DiskFullError; then the disk holds what it held. If it was
        reverted last with this very `point_id`: nothing to do.
        """
        ...

    def past(self, disk_id: str) -> Past | None:
        """What is left of before the disk's reverts; None if it was never reverted."""
        ...

    def delete(self, disk_id: str) -> None:
        """Remove a detached disk with all its layers. No such disk: nothing to do."""
        ...

    def describe(self, disk_id: str, text: bytes) -> None:
        """Keep a text beside the disk, whole and durably, in place of an earlier one.

        Raises EngineError, also if there is no such disk, and DiskFullError.
        """
        ...

    def description(self, disk_id: str) -> bytes | None:
        """The text kept beside the disk; None if there is none. Raises EngineError."""
        ...

    def disks(self) -> Collection[str]:
        """The ids of all disks of which something lies here, described or not.

        Raises EngineError.
        """
        ...

    def descriptions(self) -> Mapping[str, bytes]:
        """The texts kept beside disks, by disk id. Raises EngineError."""
        ...

    def health(self, disk_id: str) -> DiskHealth:
        """Check that the disk's layers are there and fit together, without reading them."""
        ...

    def problem(self) -> str | None:
        """Why no disk at all can be served or made, in a sentence; None if they can."""
        ...

    def taken(self, disk_id: str) -> int | None:
        """Bytes of the file system, or of memory, that the disk takes; 0 if it does not exist.

        None where that is not known. What disks share, by reflinks or because one is a fork of the
        other, may count for each.
        """
        ...

    # --- attaching

    def attach(self, instance_id: str, export: Export) -> None:
        """Serve the disk at the instance's socket. Raises EngineError, LayerDamagedError."""
        ...

    def detach(self, instance_id: str, disk_id: str, *, force: bool = False) -> None:
        """Flush the disk and stop serving it.

        Raises DiskBusyError if a client is connected, unless `force`, which cuts it off.
        """
        ...

    def stop(self, instance_id: str) -> None:
        """Flush and stop serving all disks of the instance; its clients are cut off."""
        ...

    def served(self) -> Mapping[str, Sequence[str]]:
        """The ids of the disks that are served, by the id of their instance."""
        ...

    def uri(self, instance_id: str, export_name: str) -> str:
        """The NBD URI under which the instance's disk is, or will be, served."""
        ...

    def clients(self, disk_id: str) -> Clients:
        """The processes connected to the disk; none for one that is not attached.

        A disk is for one process at a time, unless it may be shared: another one that connects
        is cut off. An engine that cannot find out who is connected returns nobody.
        """
        ...

    def adopt(self, wanted: Mapping[str, Sequence[Export]]) -> None:
        """Take over at the server's start what an earlier server left running.

        `wanted` maps the id of each running instance to its attached disks. What is served
        already continues undisturbed; what is missing is served; what is not wanted stops.
        Raises nothing for a single broken disk: `health` tells about it.
        """
        ...

    @property
    def shared(self) -> bool:
        """Whether other hosts reach the disks' layers, too, so that they need not be copied."""
        ...

    def owner(self, disk_id: str) -> str | None:
        """The name of the host that uses the disk, where several hosts can; None if none does."""
        ...

    def fence(self, host: str) -> Sequence[str]:
        """Shut out a host that is lost, by its id or name: what it still writes does not arrive.

        Returns the ids of the disks that it used, which can be attached on other hosts then. The
        host notices, ends its daemons, and serves no disk until its server is started again. May
        be done again. Raises EngineError, also where disks are one host's own.
        """
        ...

    def is_shut_out(self, host: str) -> bool:
        """Whether a host, by its id, was fenced and was not started again since."""
        ...

    # --- freezing

    def freeze(self, points: Mapping[str, str]) -> Freeze:
        """Fix the content of the disks, `disk_id` to `point_id`, at one instant.

        All disks must be attached to the same instance, or all detached. When it returns,
        the points are durable, and every write acknowledged before the call is in
        them and none that was issued after the return. On an error no point exists.
        """
        ...

    def points(self, disk_id: str) -> Sequence[str]:
        """The ids of the points that the disk still knows, oldest first.

        The oldest may be the origin of the disk, or a point whose layers are committed
        already: it can serve as `since`, but only those above it can be opened. Those of before
        a revert come first, as long as they are there.
        """
        ...

    def open_point(self, disk_id: str, point_id: str) -> FrozenImage:
        """Open a frozen point. Raises PointNotFoundError, LayerDamagedError."""
        ...

    def release(self, disk_id: str, point_id: str, *, stored: bool) -> None:
        """The point needs no longer be readable; its layers may be merged, in the background.

        `stored` says that the snapshot is safe in the vault, so that later changes are
        counted from this point; otherwise they continue to be counted from an earlier one.
        Points not yet released after a restart are kept until released again.
        """
        ...

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until no merge is under way or due; False when the time ran out."""
        ...

    def close(self) -> None:
        """Close everything at the server's end. Attached disks continue to be served."""
        ...
