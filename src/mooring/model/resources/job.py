"""A job as a value: work after the reply that survives a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from mooring.model.resources.job_arguments import Arguments
from mooring.model.resources.job_kind import JobKind

LONGEST_WAIT_MS = 3_600_000
"""No job waits longer than this: one due later was put back before the clock was set back."""

HELD_MS = 2**62
"""The `not_before_ms` of a job that waits for its request to be confirmed."""

Given = TypeVar("Given", bound=Arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. Jobs with the same `key` run one after the other, in the order of their making.

    `zone` is that of the engine which it works on, empty if it needs none; `server` is
    the id of the one that alone can run it, empty if any can. `step` counts the steps
    that are done; `attempts` the tries of the present one. Operations that wait for several jobs
    wait for the `group` that these have in common. `version` is that of the procedure which
    whoever made it meant. `generation` counts how often it was taken: a fencing token, so only
    whoever took it last can record anything.
    """

    id: str
    key: str
    region: str
    created_ms: int
    arguments: Arguments
    zone: str = ""
    server: str = ""
    step: int = 0
    attempts: int = 0
    not_before_ms: int = 0
    undoing: bool = False
    error_code: str | None = None
    error_details: str | None = None
    group: str | None = None
    version: int = 1
    generation: int = 0

    @property
    def kind(self) -> JobKind:
        return self.arguments.kind

    @property
    def is_held(self) -> bool:
        """Whether nobody runs it before its request is confirmed."""
        return self.not_before_ms == HELD_MS

    def given(self, of: type[Given]) -> Given:
        """The arguments, which are of that class, or of one below it."""
        if not isinstance(self.arguments, of):
            raise TypeError(f"the job {self.id} ({self.kind}) has no {of.__name__}")
        return self.arguments

    @property
    def waited_for(self) -> str:
        """What stands in the operations that end with this job, or with the last of its group."""
        return self.group or self.id
