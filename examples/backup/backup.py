"""Backs up a Lightsail disk: a snapshot, and only the newest few are kept."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

import boto3

PREFIX = "backup-"


class BackupError(Exception):
    """There is no new backup."""


def back_up(disk: str, *, patience: float = 3600.0, pause: float = 0.2) -> str:
    """Take a snapshot of the disk, wait until it is stored, and return its name."""
    lightsail = boto3.client("lightsail")
    name = f"{PREFIX}{disk}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    begun = lightsail.create_disk_snapshot(diskName=disk, diskSnapshotName=name)
    end = time.monotonic() + patience
    while (state := _snapshot(lightsail, name)["state"]) == "pending":
        if time.monotonic() > end:
            raise BackupError(f"{name} is still {_snapshot(lightsail, name)['progress']} stored")
        time.sleep(pause)
    if state != "completed":
        operation = lightsail.get_operation(operationId=begun["operations"][0]["id"])["operation"]
        raise BackupError(f"{name}: {operation.get('errorDetails', state)}")
    return name


def prune(disk: str, keep: int) -> list[str]:
    """Delete all but the newest backups of the disk; returns the names of those deleted."""
    lightsail = boto3.client("lightsail")
    found = sorted(
        one["name"]
        for page in lightsail.get_paginator("get_disk_snapshots").paginate()
        for one in page["diskSnapshots"]
        if one.get("fromDiskName") == disk and one["name"].startswith(PREFIX)
    )
    doomed = found[:-keep] if keep else found
    for name in doomed:
        lightsail.delete_disk_snapshot(diskSnapshotName=name)
    return doomed


def _snapshot(lightsail: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = lightsail.get_disk_snapshot(diskSnapshotName=name)["diskSnapshot"]
    return found


if __name__ == "__main__":
    print(back_up(sys.argv[1]))
    prune(sys.argv[1], keep=7)
