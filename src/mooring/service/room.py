"""Refuses what takes space while there is not enough of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.host.rooms import DISKS, IMAGE_FILES, of_vault, of_zone
from mooring.model.errors import OperationFailureException, PlaceAwayError
from mooring.service.call import Params
from mooring.service.entry import AnyEntry, Takes


def check_room(backend: Backend, entry: AnyEntry, region: str, params: Params) -> Backend:
    """See that all that the request takes is there, and has more room than its margin.

    That for disks whose zone the request does not name is looked for when it asks for their
    engine, by the backend that is returned; where there are several hosts, that for all disks,
    because only then it turns out to be about this one's. Raises OperationFailureException,
    DiskFullError.
    """
    of_disks = _of_disks(params.get("availabilityZone"))
    uses = {Takes.IMAGE_FILES: [IMAGE_FILES], Takes.VAULT: [of_vault(region)]}
    uses[Takes.DISKS] = [] if backend.host else of_disks
    _check(backend, [use for one in entry.takes for use in uses[one]])
    if Takes.DISKS in entry.takes:
        return replace(backend, check_here=_HereOnce(backend))
    return backend


class _HereOnce:
    """Looks for room in a zone when it is asked for first: what has begun goes on."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._zones: set[str] = set()

    def __call__(self, zone: str) -> None:
        if zone not in self._zones:
            _check(self._backend, _of_disks(zone))
            self._zones.add(zone)


def check_room_for_disks(backend: Backend, zone: str) -> None:
    """The same for disks of a zone, of what turns out to make some only when it is looked at.

    Where there are several hosts, whichever makes them looks.
    """
    if not backend.host:
        _check(backend, _of_disks(zone))


def _of_disks(zone: object) -> list[str]:
    return [DISKS] if zone is None else [DISKS, of_zone(str(zone))]


def _check(backend: Backend, uses: Sequence[str]) -> None:
    try:
        backend.rooms.check(*uses)
    except PlaceAwayError as error:
        raise OperationFailureException(f"This is not possible right now: {error}") from error
