"""What jobs say of themselves."""

from __future__ import annotations

from dataclasses import replace

from mooring.model.resources.job import READS, Job, JobKind
from tests.catalog.values import job


def test_every_kind_says_what_it_reads() -> None:
    """Whoever adds one decides: a deletion waits for those that read, and for no others."""
    assert READS.keys() == set(JobKind)


def test_what_a_job_reads() -> None:
    def reads(kind: JobKind, **arguments: str) -> frozenset[str]:
        one: Job = replace(job("j", kind=kind), arguments=arguments)
        return one.reads

    assert reads(JobKind.FILL_DISK, snapshot="a", disk="d") == {"a"}
    assert reads(JobKind.EXPORT_SNAPSHOT, snapshots="a,b") == {"a", "b"}
    assert reads(JobKind.COPY_SNAPSHOT, source="a", snapshot="b") == {"a"}
    # What it makes is no source of it.
    assert reads(JobKind.UPLOAD_SNAPSHOT, snapshot="a") == frozenset()
