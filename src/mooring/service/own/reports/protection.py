"""Whether disks are protected: what of automatic snapshots is wanted, and what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mooring.catalog.transaction import Transaction
from mooring.model.automatic.health import AutoHealth
from mooring.model.operation import ResourceType
from mooring.model.resources.disk import Disk


class Protection(StrEnum):
    """How well a disk is protected."""

    WELL = "well"
    """What is wanted is there."""
    WAITING = "waiting"
    """Automatic snapshots are wanted, and the first is not due yet."""
    LATE = "late"
    """What is wanted is not there, or failed."""
    NONE = "none"
    """Nothing is taken by itself."""


@dataclass(frozen=True, slots=True)
class Protected:
    """The state of a disk's automatic snapshots, its own and its instance's: the best of them.

    `health` is what is known of them, None where nothing is wanted.
    """

    state: Protection
    health: AutoHealth | None = None


class Protections:
    """The states of the automatic snapshots of a region's disks and instances."""

    def __init__(
        self,
        transaction: Transaction,
        region: str,
        now_ms: int,
        among: Collection[Disk] | None = None,
    ) -> None:
        """Of all disks of the region, or of some."""
        self._now = now_ms
        ids = None
        if among is not None:
            ids = {one.id for one in among}
            ids |= {one.instance_id for one in among if one.instance_id is not None}
        self._of: Mapping[tuple[ResourceType, str], list[AutoHealth]] = _by_bearer(
            transaction.auto_failures.health(region, ids)
        )

    def of(self, disk: Disk) -> Protected:
        """The state of one disk."""
        found = list(self._of.get((ResourceType.DISK, disk.name), ()))
        if disk.instance_name is not None:
            found += self._of.get((ResourceType.INSTANCE, disk.instance_name), ())
        told = [self._told(one) for one in found]
        order = list(Protection)
        return min(told, key=lambda one: order.index(one.state), default=Protected(Protection.NONE))

    def _told(self, one: AutoHealth) -> Protected:
        state = Protection.WELL
        if not one.is_well(self._now):
            state = Protection.LATE
        elif one.newest_ms is None:
            state = Protection.WAITING
        return Protected(state, one)


def _by_bearer(
    healths: Iterable[AutoHealth],
) -> dict[tuple[ResourceType, str], list[AutoHealth]]:
    found: dict[tuple[ResourceType, str], list[AutoHealth]] = {}
    for one in healths:
        found.setdefault((one.kind, one.name), []).append(one)
    return found
