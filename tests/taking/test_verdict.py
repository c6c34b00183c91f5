"""The rule of the tag `require`, and how a snapshot of several disks is called."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mooring.model.resources.consistency import QUIESCE_TAG, Consistency
from mooring.model.resources.disk import Disk
from mooring.taking.verdict import NOT_RECORDED, Frozen, refusal

CRASH, FILE_SYSTEM = Consistency.CRASH, Consistency.FILE_SYSTEM
APPLICATION, AT_REST = Consistency.APPLICATION, Consistency.AT_REST


def disk(name: str, wish: str | None = None) -> Disk:
    return Disk(
        id=f"id-{name}",
        region="us-east-2",
        zone="us-east-2a",
        name=name,
        created_ms=0,
        support_code="vol",
        size_gb=8,
        tags={} if wish is None else {QUIESCE_TAG: wish},
    )


@pytest.mark.parametrize("wish", [None, "off", "try"])
@pytest.mark.parametrize("problem", ["", "the agent does not answer"])
def test_a_disk_that_requires_nothing_is_never_refused(wish: str | None, problem: str) -> None:
    assert refusal([disk("data", wish)], {"id-data": CRASH}, problem) is None
    assert refusal([disk("data", wish)], {}, problem) is None


@pytest.mark.parametrize("kind", [FILE_SYSTEM, APPLICATION, AT_REST])
def test_a_disk_that_requires_rest_is_taken_when_all_were_at_rest(kind: Consistency) -> None:
    assert refusal([disk("data", "require")], {"id-data": kind}, "") is None


@pytest.mark.parametrize("kinds", [{}, {"id-data": CRASH}])
def test_a_disk_that_requires_rest_is_refused_without(kinds: Mapping[str, Consistency]) -> None:
    refused = refusal([disk("data", "require")], kinds, "")

    assert refused is not None
    assert "the disk data requires" in str(refused)
    assert "nobody knows how; attach it to" in str(refused)


def test_what_went_wrong_with_anybody_refuses_the_disk_that_requires_rest() -> None:
    disks = [disk("logs", "try"), disk("data", "require")]
    kinds = {"id-logs": CRASH, "id-data": FILE_SYSTEM}

    refused = refusal(disks, kinds, "agent: it hangs")

    assert refused is not None
    assert "the disk data requires" in str(refused)
    assert str(refused).endswith("agent: it hangs")


def test_the_disk_that_was_not_at_rest_is_the_one_that_is_named() -> None:
    disks = [disk("good", "require"), disk("bad", "require")]

    refused = refusal(disks, {"id-good": AT_REST, "id-bad": CRASH}, NOT_RECORDED)

    assert refused is not None
    assert "the disk bad requires" in str(refused)


@pytest.mark.parametrize(
    ("kinds", "weakest"),
    [
        ([], AT_REST),
        ([AT_REST, APPLICATION], APPLICATION),
        ([APPLICATION, CRASH, FILE_SYSTEM], CRASH),
    ],
)
def test_all_together_are_as_good_as_the_worst(
    kinds: list[Consistency], weakest: Consistency
) -> None:
    named = {str(number): kind for number, kind in enumerate(kinds)}

    assert Frozen(0.0, None, named).weakest is weakest
