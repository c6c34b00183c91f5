"""Refuses what takes space while there is not enough of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mooring.backend.backend import Backend
from mooring.host.rooms import DISKS, IMAGE_FILES, of_vault, of_zone
from mooring.model.errors import OperationFailureException, PlaceAwayError
from mooring.service.call import Params
from mooring.service.entry import AnyEntry, Takes


def check_room(backend: Backend, entry: AnyEntry, region: str, params: Params) -> Backend:
    """See that all that the request takes is there, and has more room than its margin.

    Where there are several hosts, that for disks is looked for when the request turns out to be
    about this one's: by the backend that is returned. Raises OperationFailureException,
    DiskFullError.
    """
    of_disks = _of_disks(params.get("availabilityZone"))
    uses = {Takes.IMAGE_FILES: [IMAGE_FILES], Takes.VAULT: [of_vault(region)]}
    uses[Takes.DISKS] = [] if backend.host else of_disks
    _check(backend, [use for one in entry.takes for use in uses[one]])
    if backend.host and Takes.DISKS in entry.takes:
        return replace(backend, check_here=partial(_check, backend, of_disks))
    return backend


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
