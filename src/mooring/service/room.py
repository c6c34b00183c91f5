"""Refuses what takes space while there is not enough of it."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.host.rooms import DISKS, IMAGE_FILES, of_vault, of_zone
from mooring.model.errors import OperationFailureException, PlaceAwayError
from mooring.service.call import Params
from mooring.service.entry import AnyEntry, Takes


def check_room(backend: Backend, entry: AnyEntry, region: str, params: Params) -> None:
    """See that all that the request takes is there, and has more room than its margin.

    Raises OperationFailureException, DiskFullError.
    """
    uses = {Takes.DISKS: DISKS, Takes.IMAGE_FILES: IMAGE_FILES, Takes.VAULT: of_vault(region)}
    try:
        backend.rooms.check(*(uses[one] for one in entry.takes))
        if Takes.DISKS in entry.takes and (zone := params.get("availabilityZone")) is not None:
            backend.rooms.check(of_zone(str(zone)))
    except PlaceAwayError as error:
        raise OperationFailureException(f"This is not possible right now: {error}") from error
