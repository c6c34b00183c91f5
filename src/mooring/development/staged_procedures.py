"""The procedures of jobs, held and failing as a test has asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mooring.development.stage import EVERY, Stage
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.errors import PostponedError, StagedError
from mooring.model.resources.job_arguments import OfSnapshot
from mooring.model.resources.job_kind import JobKind

STAGED = (JobKind.UPLOAD_SNAPSHOT, JobKind.COPY_SNAPSHOT, JobKind.IMPORT_SNAPSHOT)
"""What stores a snapshot."""

LOOK_SECONDS = 0.05
"""How often a snapshot that is held looks whether it was released."""


def staged(procedures: Mapping[JobKind, Procedure], stage: Stage) -> dict[JobKind, Procedure]:
    """The procedures; those that store a snapshot ask the stage before their first step."""

    def with_stage(procedure: Procedure) -> Procedure:
        first, *others = procedure.steps
        do = _asking(first.do, stage)
        return replace(procedure, steps=(Step(first.name, do, first.undo), *others))

    return {kind: with_stage(one) if kind in STAGED else one for kind, one in procedures.items()}


def _asking(do: Callable[[Work], Change | None], stage: Stage) -> Callable[[Work], Change | None]:
    def ask(work: Work) -> Change | None:
        snapshot_id = work.given(OfSnapshot).snapshot
        names = _names(work, snapshot_id)
        if names is None:
            return do(work)  # deleted: it knows what to do
        if (reason := stage.take_failure(names)) is not None:
            raise StagedError(reason)
        if (percent := stage.held_at(names)) is not None:
            with work.catalog.write() as transaction:
                transaction.snapshots.change_if_there(snapshot_id, progress=percent)
            raise PostponedError(f"held at {percent} % until POST /mooring/release", LOOK_SECONDS)
        return do(work)

    return ask


def _names(work: Work, snapshot_id: str) -> list[str] | None:
    """What a snapshot may be called by, what is nearest first; None if it was deleted."""
    with work.catalog.read() as transaction:
        snapshot = transaction.snapshots.by_id(snapshot_id)
        if snapshot is None:
            return None
        names = [snapshot.name, snapshot.disk_name]
        if snapshot.part_of is not None:
            whole = transaction.instance_snapshots.by_id(snapshot.part_of)
            if whole is not None:
                names = [whole.name, whole.instance_name, snapshot.disk_name]
    return [*filter(None, names), EVERY]
