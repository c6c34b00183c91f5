"""Freezing disks, with their users at rest if that can be had."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from mooring.catalog.database import Transaction
from mooring.model.blueprints import HOST
from mooring.model.errors import (
    InvalidInputException,
    MooringError,
    OperationFailureException,
    QuiesceError,
)
from mooring.model.resources.consistency import (
    AGENT_TAG,
    Consistency,
    Wish,
    agent_socket_of,
    wish_of,
)
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.tags import Tags
from mooring.observe import metrics
from mooring.quiesce.interface import COMMANDS, FILE_SYSTEMS, GUEST_AGENT, Rest, Users
from mooring.backend.backend import Backend

log = structlog.get_logger("mooring.service")

_WAYS = (
    "attach it to an instance of the blueprint host and mount it, tell the instance's guest agent "
    "with the tag mooring:guest-agent, or name commands for the instance in the settings; or set "
    "the disk's tag mooring:quiesce to try"
)


@dataclass(frozen=True, slots=True)
class Frozen:
    """How disks were frozen: kinds by the disks' ids, and why they are not better.

    `pause_seconds` is how long the engine held back writes, `rest_seconds` how long the users
    were held at rest; None if nobody was.
    """

    pause_seconds: float
    rest_seconds: float | None
    kinds: Mapping[str, Consistency]
    problem: str = ""

    @property
    def weakest(self) -> Consistency:
        """What all the disks are together: at most as good as the worst."""
        order = list(Consistency)
        return min(self.kinds.values(), key=order.index, default=Consistency.AT_REST)


def check_agent(backend: Backend, tags: Tags) -> None:
    """Raise InvalidInputException if the tags name a guest agent that would not be talked to."""
    socket = agent_socket_of(tags)
    if socket is None:
        return
    try:
        backend.quiescer.means(Users("", "", agent_socket=socket))
    except QuiesceError as error:
        raise InvalidInputException(f"The tag {AGENT_TAG} cannot be set: {error}.") from error


def freeze(
    backend: Backend, instance: Instance | None, disks: Sequence[Disk], points: Mapping[str, str]
) -> Frozen:
    """Freeze disks of one zone at one instant, their users at rest if that can be had.

    `instance` has all the disks attached, None if they are detached; `points` maps the disks'
    ids to those of their snapshots. Raises what the engine raises, and OperationFailureException
    when a disk's tag requires rest and it could not be had: no point exists then.
    """
    attempt = _Attempt(backend, instance, disks, points)
    frozen = attempt.run()
    crash = [disk for disk in attempt.required if frozen.kinds[disk.id] is Consistency.CRASH]
    if attempt.required and (crash or frozen.problem):
        attempt.take_back()
        raise _not_at_rest(attempt.required[0], frozen.problem)
    metrics.frozen(frozen.pause_seconds)
    for kind in frozen.kinds.values():
        metrics.consistent(kind)
    if frozen.rest_seconds is not None:
        metrics.at_rest(frozen.rest_seconds)
    if frozen.problem:
        log.warning("users of a disk were not at rest", disk=disks[0].name, why=frozen.problem)
    return frozen


def record(transaction: Transaction, snapshot: DiskSnapshot, frozen: Frozen) -> None:
    """Confirm the snapshot of a disk that was frozen.

    Raises OperationFailureException if it is not there any more: a reply says only what a
    transaction has recorded.
    """
    kind = frozen.kinds[snapshot.disk_id]
    confirmed = transaction.snapshots.change_if_there(
        snapshot.id,
        frozen=True,
        # Rounded up: a pause is never called shorter than it was.
        pause_us=math.ceil(frozen.pause_seconds * 1e6),
        rest_us=None if frozen.rest_seconds is None else math.ceil(frozen.rest_seconds * 1e6),
        consistency=kind,
        rest_problem=frozen.problem if kind is Consistency.CRASH else "",
    )
    if not confirmed:
        raise OperationFailureException(
            f"The snapshot {snapshot.name} was taken back while the disk was frozen, as a server "
            "that starts does with what is not confirmed: take it again."
        )


class _Attempt:
    """One freeze of some disks."""

    def __init__(
        self,
        backend: Backend,
        instance: Instance | None,
        disks: Sequence[Disk],
        points: Mapping[str, str],
    ) -> None:
        self._backend = backend
        self._engine = backend.engine(disks[0].zone)
        self._disks = disks
        self._points = points
        self._unused = {disk.id for disk in disks if self._is_unused(disk, instance)}
        self._instance = instance
        wishes = {disk.id: wish_of(disk.tags) for disk in disks}
        self.required = [disk for disk in disks if wishes[disk.id] is Wish.REQUIRE]
        self._asked = [
            disk
            for disk in disks
            if wishes[disk.id] is not Wish.OFF and disk.id not in self._unused
        ]
        self._problem = ""

    def run(self) -> Frozen:
        users = self._users()
        if users is None:
            used = [disk for disk in self.required if disk.id not in self._unused]
            if used:
                raise _not_at_rest(used[0], self._problem)
            return Frozen(self._freeze(), None, self._kinds(users, Rest()), self._problem)
        try:
            hold = self._backend.quiescer.hold(users)
        except QuiesceError as error:
            if self.required:
                raise _not_at_rest(self.required[0], str(error)) from error
            return Frozen(self._freeze(), None, self._kinds(None, Rest()), str(error))
        rest = Rest()
        try:
            if hold.problems and self.required:
                raise _not_at_rest(self.required[0], _joined(hold.problems))
            pause = self._freeze()
        finally:
            rest = hold.thaw()
        self._problem = _joined(rest.problems)
        seconds = rest.seconds if rest.held else None
        return Frozen(pause, seconds, self._kinds(users, rest), self._problem)

    def take_back(self) -> None:
        """Release the points again."""
        for disk_id, point in self._points.items():
            # What cannot be released now is at the next start.
            with contextlib.suppress(MooringError):
                self._engine.release(disk_id, point, stored=False)

    def _users(self) -> Users | None:
        """Who is to be brought to rest; None if nobody is, or it is not known how."""
        if not self._asked or self._instance is None:
            return None
        users = Users(
            self._instance.id,
            self._instance.name,
            [disk.name for disk in self._asked],
            self._mounted(),
            agent_socket_of(self._instance.tags),
        )
        try:
            found = self._backend.quiescer.means(users)
        except QuiesceError as error:
            self._problem = str(error)
            return None
        return users if found else None

    def _mounted(self) -> dict[str, str]:
        """The block devices of this host whose file systems are to be brought to rest."""
        found = {disk.id: self._backend.devices.device(disk.id) for disk in self._asked}
        return {disk_id: device for disk_id, device in found.items() if device is not None}

    def _is_unused(self, disk: Disk, instance: Instance | None) -> bool:
        """Whether nobody can write to the disk, or, on this host, nobody does."""
        if disk.attachment is Attachment.DETACHED or instance is None:
            return True
        if disk.attachment is not Attachment.ATTACHED:
            return False
        if instance.state is InstanceState.STOPPED:
            return True
        devices = self._backend.devices
        return (
            instance.blueprint_id == HOST
            and devices.device(disk.id) is not None
            and not devices.users(disk.id)
        )

    def _freeze(self) -> float:
        return self._engine.freeze(self._points).pause_seconds

    def _kinds(self, users: Users | None, rest: Rest) -> dict[str, Consistency]:
        kinds = {disk.id: Consistency.CRASH for disk in self._disks}
        kinds |= dict.fromkeys(self._unused, Consistency.AT_REST)
        for disk in self._asked:
            device = None if users is None else users.devices.get(disk.id)
            if COMMANDS in rest.held:
                kinds[disk.id] = Consistency.APPLICATION
            elif GUEST_AGENT in rest.held or f"{FILE_SYSTEMS}{device}" in rest.held:
                kinds[disk.id] = Consistency.FILE_SYSTEM
        return kinds


def _not_at_rest(disk: Disk, why: str) -> OperationFailureException:
    return OperationFailureException(
        f"The tag mooring:quiesce of the disk {disk.name} requires its users to be at rest for a "
        f"snapshot, and they could not be brought to rest, so none was taken: "
        f"{why or f'nobody knows how; {_WAYS}'}"
    )


def _joined(problems: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" if name else why for name, why in problems.items())
