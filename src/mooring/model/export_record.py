"""An export record as a value: a snapshot on its way into files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mooring.model.operation import ResourceType
from mooring.model.tags import Tags

ENDING = ".raw"
"""Of the name of an image file."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """An export. Times are milliseconds, `progress` is per cent.

    `from_*` are the disk or instance that the source was taken of; `bundle_id` and
    `blueprint_id` are that instance's. `destination` is the path of the file, of an instance
    snapshot that of a directory with a file for each of its disks.
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
    tags: Tags = field(default_factory=dict)

    @property
    def of_instance(self) -> bool:
        return self.source_type is ResourceType.INSTANCE_SNAPSHOT
