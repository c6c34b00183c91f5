"""Freezing disks, with their users at rest if possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from mooring.backend.backend import Backend
from mooring.engine.interface import Engine
from mooring.model.blueprints import HOST
from mooring.model.errors import InvalidInputException, MooringError, QuiesceError
from mooring.model.resources.consistency import (
    AGENT_TAG,
    Consistency,
    Wish,
    agent_socket_of,
    wish_of,
)
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.tags import Tags
from mooring.observe import metrics
from mooring.quiesce.interface import COMMANDS, FILE_SYSTEMS, GUEST_AGENT, Hold, Rest, Users
from mooring.taking.unneeded import release_unneeded
from mooring.taking.verdict import Frozen, refusal

log = structlog.get_logger("mooring.service")


@dataclass(frozen=True, slots=True)
class Usage:
    """Who uses some disks: `unused` and `asked` are ids, the latter of those whose users rest.

    `users` are to be brought to rest; None if nobody is, or nobody knows how, and then `problem`
    may say why.
    """

    disks: Sequence[Disk]
    unused: frozenset[str]
    asked: frozenset[str]
    users: Users | None
    problem: str = ""

    def kinds(self, rest: Rest) -> dict[str, Consistency]:
        """How consistent each disk is, by its id, if its users rested so."""
        devices: Mapping[str, str] = {} if self.users is None else self.users.devices
        return {disk.id: self._kind(disk.id, devices.get(disk.id), rest) for disk in self.disks}

    def _kind(self, disk_id: str, device: str | None, rest: Rest) -> Consistency:
        if disk_id in self.unused:
            return Consistency.AT_REST
        if disk_id in self.asked:
            if COMMANDS in rest.held:
                return Consistency.APPLICATION
            if GUEST_AGENT in rest.held or f"{FILE_SYSTEMS}{device}" in rest.held:
                return Consistency.FILE_SYSTEM
        return Consistency.CRASH


def check_agent(backend: Backend, tags: Tags) -> None:
    """Raise InvalidInputException if the tags name a guest agent that would not be talked to."""
    socket = agent_socket_of(tags)
    if socket is None:
        return
    try:
        backend.quiescer.means(Users("", "", agent_socket=socket))
    except QuiesceError as error:
        raise InvalidInputException(f"The tag {AGENT_TAG} cannot be set: {error}.") from error


def freeze_at_rest(
    backend: Backend, instance: Instance | None, disks: Sequence[Disk], points: Mapping[str, str]
) -> Frozen:
    """Freeze disks of one zone at one instant, their users at rest if that can be had.

    `instance` has all the disks attached, None if they are detached; `points` maps the disks'
    ids to those of their snapshots. Raises what the engine raises, and OperationFailureException
    when a disk's tag requires rest and it could not be had: no point exists then.
    """
    engine = backend.engine(disks[0])
    usage, hold = _hold(backend, _usage(backend, instance, disks))
    if hold is None:
        kinds = usage.kinds(Rest())
        _refuse(refusal(disks, kinds, usage.problem))
        frozen = Frozen(engine.freeze(points).pause_seconds, None, kinds, usage.problem)
    else:
        frozen = _freeze_held(engine, usage, hold, points)
    _report(disks, frozen)
    return frozen


def _freeze_held(engine: Engine, usage: Usage, hold: Hold, points: Mapping[str, str]) -> Frozen:
    rest = Rest()
    try:
        if hold.problems:
            _refuse(refusal(usage.disks, {}, _joined(hold.problems)))
        pause = engine.freeze(points).pause_seconds
    finally:
        rest = hold.thaw()
    seconds = rest.seconds if rest.held else None
    frozen = Frozen(pause, seconds, usage.kinds(rest), _joined(rest.problems))
    refused = refusal(usage.disks, frozen.kinds, frozen.problem)
    if refused is not None:
        for disk_id, point in points.items():
            release_unneeded(engine, disk_id, point)
        raise refused
    return frozen


def _usage(backend: Backend, instance: Instance | None, disks: Sequence[Disk]) -> Usage:
    unused = frozenset(disk.id for disk in disks if _is_unused(backend, disk, instance))
    asked = [disk for disk in disks if wish_of(disk.tags) is not Wish.OFF and disk.id not in unused]
    usage = Usage(disks, unused, frozenset(disk.id for disk in asked), None)
    if not asked or instance is None:
        return usage
    mounted = {disk.id: backend.devices.device(disk.id) for disk in asked}
    users = Users(
        instance.id,
        instance.name,
        [disk.name for disk in asked],
        {disk_id: device for disk_id, device in mounted.items() if device is not None},
        agent_socket_of(instance.tags),
    )
    try:
        return replace(usage, users=users) if backend.quiescer.means(users) else usage
    except QuiesceError as error:
        return replace(usage, problem=str(error))


def _hold(backend: Backend, usage: Usage) -> tuple[Usage, Hold | None]:
    """Bring the users to rest, if there are any and that can be had."""
    if usage.users is None:
        return usage, None
    try:
        return usage, backend.quiescer.hold(usage.users)
    except QuiesceError as error:
        return replace(usage, users=None, problem=str(error)), None


def _is_unused(backend: Backend, disk: Disk, instance: Instance | None) -> bool:
    """Whether nobody can write to the disk, or, on this host, nobody does."""
    if disk.attachment is Attachment.DETACHED or instance is None:
        return True
    if disk.state is DiskState.PENDING:
        return True  # it is being moved: its instance was stopped
    if disk.attachment is not Attachment.ATTACHED:
        return False
    if instance.state is InstanceState.STOPPED:
        return True
    devices = backend.devices
    return (
        instance.blueprint_id == HOST
        and devices.device(disk.id) is not None
        and not devices.users(disk.id)
    )


def _refuse(error: MooringError | None) -> None:
    if error is not None:
        raise error


def _report(disks: Sequence[Disk], frozen: Frozen) -> None:
    metrics.frozen(frozen.pause_seconds)
    for kind in frozen.kinds.values():
        metrics.consistent(kind)
    if frozen.rest_seconds is not None:
        metrics.at_rest(frozen.rest_seconds)
    if frozen.problem:
        log.warning("users of a disk were not at rest", disk=disks[0].name, why=frozen.problem)


def _joined(problems: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" if name else why for name, why in problems.items())
