"""Rows of jobs as values, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from mooring.members import members
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ARGUMENTS, Arguments
from mooring.model.resources.job_kind import JobKind

UNTYPED = 0
"""The version of rows whose arguments were texts, the zone and lists with commas among them."""


def columns_of(job: Job) -> dict[str, Any]:
    """The columns of a job that nobody has taken."""
    return {
        "id": job.id,
        "kind": job.kind,
        "key": job.key,
        "region": job.region,
        "zone": job.zone,
        "server": job.server,
        "created_ms": job.created_ms,
        "arguments": json.dumps(members(job.arguments)),
        "version": job.version,
        "generation": job.generation,
        "step": job.step,
        "attempts": job.attempts,
        "not_before_ms": job.not_before_ms,
        "undoing": job.undoing,
        "group_id": job.group,
        "owner": None,
        "lease_until_ms": 0,
    }


def job_of(row: Row[Any]) -> Job:
    """The job of a row, also of one that an earlier program wrote."""
    given, zone, version = json.loads(row.arguments), row.zone, row.version
    if version == UNTYPED:
        given, zone, version = _typed(row.kind, given), given.get("zone", ""), 1
    return Job(
        id=row.id,
        key=row.key,
        region=row.region,
        zone=zone,
        server=row.server,
        created_ms=row.created_ms,
        arguments=_arguments(row.kind, given),
        version=version,
        generation=row.generation,
        step=row.step,
        attempts=row.attempts,
        not_before_ms=row.not_before_ms,
        undoing=bool(row.undoing),
        error_code=row.error_code,
        error_details=row.error_details,
        group=row.group_id,
    )


def _arguments(kind: str, given: Mapping[str, Any]) -> Arguments:
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return ARGUMENTS[JobKind(kind)](**values)


def _typed(kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of an untyped row, as they are today."""
    typed: dict[str, Any] = {}
    for field in fields(ARGUMENTS[JobKind(kind)]):
        value = given.get(field.name, "")
        if field.name in ("disks", "snapshots"):
            typed[field.name] = list(filter(None, value.split(",")))
        else:
            typed[field.name] = float(value) if field.name == "percent" else value
    return typed
