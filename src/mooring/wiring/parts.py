"""What a server is put together from besides its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mooring.jobs.running.execution import Observer, unobserved
from mooring.jobs.running.procedure import Procedure
from mooring.jobs.table import PROCEDURES
from mooring.model.clock import Clock, SystemClock
from mooring.model.resources.job_kind import JobKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`observer` is told of the steps of jobs; `reserves` says whether room is set aside."""

    clock: Clock = field(default_factory=SystemClock)
    procedures: Mapping[JobKind, Procedure] = field(default_factory=lambda: PROCEDURES)
    observer: Observer = unobserved
    reserves: bool = True


USUAL = Parts()
"""Those of a server that people use."""
