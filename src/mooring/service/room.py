"""Refuses what takes space while there is not enough of it."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.host.rooms import DISKS, IMAGE_FILES, of_vault
from mooring.service.entry import AnyEntry, Takes


def check_room(backend: Backend, entry: AnyEntry, region: str) -> None:
    """Raise DiskFullError unless there is more than the margin of all that the request takes."""
    uses = {Takes.DISKS: DISKS, Takes.IMAGE_FILES: IMAGE_FILES, Takes.VAULT: of_vault(region)}
    backend.rooms.check(*(uses[one] for one in entry.takes))
