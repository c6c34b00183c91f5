"""What jobs say of themselves."""

from __future__ import annotations

import pytest

from mooring.model.resources.job_arguments import (
    ARGUMENTS,
    Arguments,
    CollectVault,
    CopySnapshot,
    ExportSnapshot,
    FillDisk,
    OfSnapshot,
    RestoreInstance,
    UploadSnapshot,
)
from mooring.model.resources.job_kind import JobKind
from tests.catalog.values import SAMPLES, job


def test_every_kind_has_its_arguments() -> None:
    assert ARGUMENTS.keys() == set(JobKind)
    assert SAMPLES.keys() == set(JobKind)


@pytest.mark.parametrize("kind", JobKind)
def test_every_kind_says_what_it_reads(kind: JobKind) -> None:
    """Whoever adds one decides: a deletion waits for those that read, and for no others."""
    given = SAMPLES[kind]

    assert type(given) is ARGUMENTS[kind]
    assert isinstance(given.reads, frozenset)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (FillDisk(disk="d", snapshot="a"), {"a"}),
        (ExportSnapshot(record="r", snapshots=("a", "b")), {"a", "b"}),
        (RestoreInstance(instance="i", disks=("d",), snapshots=("a",)), {"a"}),
        (CopySnapshot(snapshot="b", disk="d", source="a", source_region="r"), {"a"}),
        # What it makes is no source of it.
        (UploadSnapshot(snapshot="a", disk="d"), set()),
        (CollectVault(), set()),
    ],
)
def test_what_a_job_reads(given: Arguments, read: set[str]) -> None:
    assert given.reads == read


def test_a_procedure_gets_the_arguments_that_it_knows() -> None:
    given = UploadSnapshot(snapshot="a", disk="d")
    one = job("j", arguments=given)

    assert one.given(UploadSnapshot) is one.given(OfSnapshot) is given
    with pytest.raises(TypeError, match=r"the job j \(upload_snapshot\) has no FillDisk"):
        one.given(FillDisk)
