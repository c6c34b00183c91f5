"""An export record as a value: a snapshot on its way into files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mooring.model.names import is_name
from mooring.model.operation import ResourceType
from mooring.model.tags import Tags

ENDING = ".raw"
"""Of the name of an image file."""

MAX_FILE_NAME = 255
"""Bytes that file systems take (Linux, NAME_MAX)."""


class RecordState(StrEnum):
    """The states of the API."""

    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedDisk:
    """A disk of the snapshot; `snapshot_id` is under which the vault has it."""

    snapshot_id: str
    name: str
    size_gb: int
    path: str | None = None
    is_system: bool = False

    @property
    def file_name(self) -> str:
        """Of its image: by the disk's name, if that is one and a file can have it."""
        named = is_name(self.name) and len(self.name) + len(ENDING) <= MAX_FILE_NAME
        return f"{self.name if named else self.snapshot_id}{ENDING}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """An export. Times are milliseconds, `progress` is per cent.

    `from_*` are the disk or instance that the source was taken of; `bundle_id` and
    `blueprint_id` are that instance's. `destination` is the path of the file, of an instance
    snapshot that of a directory with a file for each of its disks. It is on the host of the
    `server` of that name, if there are several.
    """

    id: str
    region: str
    name: str
    created_ms: int
    state: RecordState = RecordState.STARTED
    progress: int = 0
    source_type: ResourceType
    source_id: str
    source_name: str
    source_created_ms: int
    from_id: str
    from_name: str
    bundle_id: str | None = None
    blueprint_id: str | None = None
    disks: Sequence[ExportedDisk] = ()
    destination: str
    server: str = ""
    tags: Tags = field(default_factory=dict)

    @property
    def of_instance(self) -> bool:
        return self.source_type is ResourceType.INSTANCE_SNAPSHOT
