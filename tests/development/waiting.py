"""Waiting for what a server does after it has answered."""

from __future__ import annotations

import time
from typing import Any

PATIENCE_SECONDS = 60.0


def ended(client: Any, snapshot: str) -> dict[str, Any]:
    """The snapshot when it is not pending any more."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        found: dict[str, Any] = client.get_disk_snapshot(diskSnapshotName=snapshot)["diskSnapshot"]
        if found["state"] != "pending":
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def make_disk(client: Any, name: str = "disk-1") -> None:
    """A disk that can be snapshotted."""
    zone = f"{client.meta.region_name}a"
    client.create_disk(diskName=name, sizeInGb=8, availabilityZone=zone)
    end = time.monotonic() + PATIENCE_SECONDS
    while client.get_disk(diskName=name)["disk"]["state"] != "available":
        assert time.monotonic() < end
        time.sleep(0.02)
