"""Rows of export records."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, insert

from mooring.catalog.tables import schema
from mooring.catalog.tables.rows import ResourceRows
from mooring.model.operation import ResourceType
from mooring.model.resources.export_record import ExportedDisk, ExportRecord, RecordState
from mooring.model.tags import Tags


class ExportRecords(ResourceRows[ExportRecord]):
    """What was exported. The records take no names in the name space."""

    table = schema.export_records
    kind = ResourceType.EXPORT_SNAPSHOT_RECORD

    def value(self, row: Row[Any], tags: Tags) -> ExportRecord:
        return ExportRecord(
            id=row.id,
            region=row.region,
            name=row.name,
            created_ms=row.created_ms,
            state=RecordState(row.state),
            progress=row.progress,
            source_type=ResourceType(row.source_type),
            source_id=row.source_id,
            source_name=row.source_name,
            source_created_ms=row.source_created_ms,
            from_id=row.from_id,
            from_name=row.from_name,
            bundle_id=row.bundle_id,
            blueprint_id=row.blueprint_id,
            disks=[ExportedDisk(**one) for one in json.loads(row.disks)],
            destination=row.destination,
            server=row.server,
            tags=tags,
        )

    def columns(self, value: ExportRecord) -> dict[str, Any]:
        disks = json.dumps([asdict(one) for one in value.disks])
        return {**super().columns(value), "disks": disks}

    def add(self, value: ExportRecord) -> None:
        self.connection.execute(insert(self.table).values(**self.columns(value)))
        if value.tags:
            self._tags.replace(value.id, value.tags)
