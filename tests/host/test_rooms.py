"""The file systems that a server uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.host import rooms
from mooring.host.rooms import Rooms
from mooring.model.clock import ManualClock
from mooring.model.errors import DiskFullError


def test_whether_room_may_be_taken_is_not_found_out_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To find out allocates some: many snapshots a second need not each do that."""
    asked: list[Path] = []
    may_take = True

    def take(path: Path) -> bool:
        asked.append(path)
        return may_take

    monkeypatch.setattr(rooms, "may_take", take)
    clock = ManualClock()
    room = Rooms({"disks": tmp_path}, 1, clock=clock)
    for _ in range(3):
        room.check("disks")
    assert len(asked) == 1

    # Somebody's quota has been used up meanwhile.
    may_take = False
    clock.advance(1.1)
    for _ in range(2):
        with pytest.raises(DiskFullError, match="none for the user of this server"):
            room.check("disks")

    may_take = True
    room.check("disks")
    assert len(asked) == 4
