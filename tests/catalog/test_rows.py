"""Rows in, values out: the same on every database."""

from __future__ import annotations

import pytest

from mooring.catalog.database import Catalog
from mooring.model.automatic.rhythm import RHYTHMS_TAG
from mooring.model.automatic.rules import AutoSource, add_on_run, rhythm_run
from mooring.model.errors import InvalidInputException, MissingRowError
from mooring.model.ids import SequentialIds
from mooring.model.operation import OperationStatus, ResourceType
from mooring.model.resources.disk import Attachment, DiskState
from mooring.model.resources.firewall import Ports
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import HELD_MS
from mooring.model.resources.job_arguments import DeleteSnapshot
from mooring.model.resources.snapshot import SnapshotState
from mooring.taking import recording
from tests.catalog.values import (
    REGION,
    ZONE,
    disk,
    instance,
    instance_snapshot,
    job,
    operation,
    snapshot,
)


def test_a_disk_comes_back_as_it_was(catalog: Catalog) -> None:
    one = disk(
        "data",
        created_ms=2**42,
        size_gb=16384,
        state=DiskState.IN_USE,
        attachment=Attachment.ATTACHED,
        instance_id="id-web",
        instance_name="web",
        path="/dev/xvdf",
        origin_id="id-snap",
        auto_mounting=True,
        is_system=True,
        tags={"a": "1", "b": None, "ключ": ""},
    )

    with catalog.write() as transaction:
        transaction.instances.add(instance("web"))
        transaction.disks.add(one)

    with catalog.read() as transaction:
        assert transaction.disks.by_id("id-data") == one
        assert transaction.disks.by_name(REGION, "data") == one
        assert transaction.disks.of_instance("id-web") == [one]
        assert transaction.disks.by_name("us-west-2", "data") is None


def test_an_instance_comes_back_as_it_was(catalog: Catalog) -> None:
    ports = Ports(first=22, last=80, protocol="tcp", cidrs=("10.0.0.0/8",), aliases=("x",))
    one = instance(
        "web",
        state=InstanceState.STOPPED,
        key_pair="mine",
        metadata_options={"httpTokens": "required"},
        ports=[ports],
        tags={"k": None},
    )

    with catalog.write() as transaction:
        transaction.instances.add(one)

    with catalog.read() as transaction:
        assert transaction.instances.by_name(REGION, "web") == one
    with catalog.write() as transaction:
        transaction.instances.set_metadata_options(one.id, {"httpTokens": "optional"})
        found = transaction.instances.by_id(one.id)
    assert found is not None
    assert found.metadata_options == {"httpTokens": "optional"}


def test_a_snapshot_comes_back_as_it_was(catalog: Catalog) -> None:
    one = snapshot(
        "snap",
        state=SnapshotState.COMPLETED,
        frozen=True,
        progress=100,
        pause_us=1,
        parent_id="id-before",
        changed_bytes=2**44,
        stored_bytes=2**43,
        completed_ms=2**42,
    )

    with catalog.write() as transaction:
        transaction.snapshots.add(one)
        transaction.snapshots.add(snapshot("pending"))

    with catalog.read() as transaction:
        assert transaction.snapshots.by_id("id-snap") == one
        assert transaction.snapshots.of_disk("id-data", SnapshotState.COMPLETED) == [one]
        assert [one.name for one in transaction.snapshots.in_state(SnapshotState.PENDING)] == [
            "pending"
        ]


def test_an_instance_snapshot_comes_back_with_its_parts(catalog: Catalog) -> None:
    parts = [
        snapshot(f"all/{name}", id=name, disk_id=name, part_of="id-all", disk_path=f"/dev/{name}")
        for name in ("xvdg", "xvdf")
    ]
    whole = instance_snapshot("all", *parts, tags={"k": "v"})
    with catalog.write() as transaction:
        transaction.instance_snapshots.add(whole)
        transaction.instance_snapshots.add(instance_snapshot("empty"))
        transaction.snapshots.add(snapshot("own"))

    with catalog.read() as transaction:
        assert transaction.instance_snapshots.by_name(REGION, "all") == whole
        assert transaction.instance_snapshots.page(REGION, 0, 1)[0] == [whole]
        # Its parts are snapshots of their disks, but have no place in lists and names.
        assert transaction.snapshots.of_disk("xvdf", SnapshotState.PENDING) == [parts[1]]
        assert transaction.snapshots.page(REGION, 0, 9) == ([snapshot("own")], None)
        assert transaction.names.page(REGION, "", 9) == ["all", "empty", "own"]

    with catalog.write() as transaction:
        transaction.instance_snapshots.remove(whole)
        assert [one.id for one in transaction.snapshots.all()] == ["id-own"]
        assert transaction.names.page(REGION, "", 9) == ["empty", "own"]
        assert transaction.tags.of(["id-all"]) == {"id-all": {}}


def test_automatic_snapshots_have_no_place_in_names_and_lists(catalog: Catalog) -> None:
    part = snapshot("web@now/data", id="part", part_of="id-web@now")
    whole = instance_snapshot("web@now", part, auto=AutoSource.ADD_ON)
    alone = snapshot("data@now", auto=AutoSource.TAG)
    copy = instance_snapshot("copy", from_auto=True)
    with catalog.write() as transaction:
        for one in (whole, alone, copy):
            transaction.enter(one)

    with catalog.read() as transaction:
        assert transaction.automatic_of("id-web") == [whole]
        assert transaction.automatic_of("id-data") == [alone]
        assert [transaction.snapshot(one.id) for one in (whole, alone)] == [whole, alone]
        assert transaction.snapshots.pending([ZONE]).automatic == 2
        assert transaction.instance_snapshots.page(REGION, 0, 9) == ([copy], None)
        assert transaction.snapshots.page(REGION, 0, 9) == ([], None)
        assert transaction.names.page(REGION, "", 9) == ["copy"]

    ids = SequentialIds()
    with catalog.write() as transaction:
        for one in (whole, alone):
            recording.discard(transaction, one, ids, 7)
        assert transaction.snapshots.all() == []
        deleted = [one.given(DeleteSnapshot).snapshot for one in transaction.jobs.all()]
        assert deleted == ["part", "id-data@now"]


def test_runs_of_the_configuration_are_told_apart_by_what_they_are_of(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        for one in (disk("data"), disk("tagged", tags={RHYTHMS_TAG: "none"})):
            transaction.disks.add(one)
        transaction.instances.add(instance("web"))
        runs = transaction.auto_runs
        for kind, found in ((ResourceType.DISK, "id-data"), (ResourceType.INSTANCE, "id-web")):
            assert runs.without_rhythms(kind).found == [(found, REGION)]
            runs.put(rhythm_run(found, REGION, AutoSource.CONFIG, "hourly keep 1 day", 0))
            assert runs.without_rhythms(kind).found == []
        runs.put(add_on_run("id-web", REGION, "06:00", 0))
        found_web = transaction.instances.by_id("id-web")
        assert found_web is not None
        assert found_web.add_on is not None
        assert found_web.add_on.time_of_day == "06:00"
        runs.disable("id-web")
        found_web = transaction.instances.by_id("id-web")
        assert found_web is not None
        assert found_web.add_on is not None
        assert (found_web.add_on.time_of_day, found_web.add_on.enabled) == ("06:00", False)
        assert {run.source for run in runs.of("id-web")} == {AutoSource.CONFIG}
        assert {run.source for run in runs.due(1 << 60)} == {AutoSource.CONFIG}
        runs.put(add_on_run("id-web", REGION, "06:00", 0))
        runs.forget_policy_other_than(ResourceType.DISK, "")
        runs.forget_policy_other_than(ResourceType.INSTANCE, "hourly keep 1 day")
        assert runs.of("id-data") == []
        assert {run.source for run in runs.of("id-web")} == {AutoSource.CONFIG, AutoSource.ADD_ON}


def test_jobs_of_a_group_are_confirmed_and_forgotten_together(catalog: Catalog) -> None:
    held = [job(f"part-{n}", group="whole", not_before_ms=HELD_MS) for n in range(2)]
    with catalog.write() as transaction:
        for one in [*held, job("other", not_before_ms=HELD_MS)]:
            transaction.jobs.add(one)
        assert transaction.jobs.by_id("part-0") == held[0]
        transaction.jobs.confirm("whole")
        waiting = {one.id: one.not_before_ms for one in transaction.jobs.all()}
        assert waiting == {"part-0": 0, "part-1": 0, "other": HELD_MS}
        transaction.jobs.remove(held[0])
        assert transaction.jobs.left("whole")
        transaction.jobs.remove_all("whole")
        assert not transaction.jobs.left("whole")
        assert [one.id for one in transaction.jobs.all()] == ["other"]


def test_operations_are_newest_first_and_end_once(catalog: Catalog) -> None:
    made = [operation(number, job_id="job-1") for number in range(5)]
    with catalog.write() as transaction:
        transaction.operations.add(made)
        transaction.operations.finish("job-1", 50, "DiskFull", "no room")
        transaction.operations.finish("job-1", 60)

    with catalog.read() as transaction:
        first, more = transaction.operations.page(REGION, None, 3)
        rest, end = transaction.operations.page(REGION, more, 3)
        nothing, _ = transaction.operations.page(REGION, None, 3, "other")

    assert [one.created_ms for one in first + rest] == [4, 3, 2, 1, 0]
    assert end is None
    assert nothing == []
    assert {(one.status, one.changed_ms, one.error_code) for one in first + rest} == {
        (OperationStatus.FAILED, 50, "DiskFull")
    }


def test_names_are_one_space_for_all_types(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("shared"))

    with pytest.raises(InvalidInputException), catalog.write() as transaction:
        transaction.instances.add(instance("shared", id="other"))

    with catalog.write() as transaction:
        assert transaction.names.find(REGION, "shared") == (ResourceType.DISK, "id-shared")
        assert transaction.names.taken(REGION, ["a", "shared"]) == ["shared"]
        transaction.disks.add(disk("shared", id="elsewhere", region="us-west-2"))
        transaction.disks.remove(disk("shared"))
        assert transaction.names.taken(REGION, ["shared"]) == []
        assert transaction.names.taken("us-west-2", ["shared"]) == ["shared"]


def test_names_are_sorted_by_their_bytes(catalog: Catalog) -> None:
    """A database's language would put `a` before `B`, and pass over hyphens."""
    names = ["a-b", "B", "ab", "a_c", "A.c", "10", "9"]
    with catalog.write() as transaction:
        for name in names:
            transaction.disks.add(disk(name))

    found: list[str] = []
    with catalog.read() as transaction:
        while page := transaction.names.page(REGION, found[-1] if found else "", 2):
            found += page

    assert found == sorted(names)


def test_pages_go_on_after_what_was_removed(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        for number in range(6):
            transaction.disks.add(disk(f"d{number}"))
        first, more = transaction.disks.page(REGION, 0, 2)
        for number in range(1, 4):
            transaction.disks.remove(disk(f"d{number}"))
        assert more is not None
        rest, end = transaction.disks.page(REGION, more, 2)

    assert [one.name for one in first + rest] == ["d0", "d1", "d4", "d5"]
    assert end is None


def test_numbers_of_pages_are_not_used_again(catalog: Catalog) -> None:
    """A token given out must not point at what was made later."""
    with catalog.write() as transaction:
        transaction.disks.add(disk("a1"))
        transaction.disks.add(disk("a2"))
        _, more = transaction.disks.page(REGION, 0, 1)
        assert more is not None
        transaction.disks.remove(disk("a1"))
        transaction.disks.remove(disk("a2"))
        transaction.disks.add(disk("a3"))
        found, _ = transaction.disks.page(REGION, more, 1)

    assert [one.name for one in found] == ["a3"]


def test_tags_are_replaced_and_removed(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("data", tags={"a": "1", "b": None}))
        transaction.tags.replace("id-data", {"b": "2", "c": "3"})
        transaction.tags.remove("id-data", ["c", "absent"])
        assert transaction.tags.of(["id-data", "id-none"]) == {"id-data": {"b": "2"}, "id-none": {}}
        transaction.disks.remove(disk("data"))
        assert transaction.tags.of(["id-data"]) == {"id-data": {}}


def test_more_keys_are_removed_than_a_statement_takes(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("data", tags={"k7": None, "stays": "x"}))
        transaction.tags.remove("id-data", [f"k{number}" for number in range(70_000)])

        assert transaction.tags.of(["id-data"]) == {"id-data": {"stays": "x"}}


def test_answers_are_found_again_until_they_are_old(catalog: Catalog) -> None:
    def remember(invocation: str, now_ms: int, answer: str) -> None:
        with catalog.write() as transaction:
            transaction.answers.remember(
                "me",
                invocation,
                operation="CreateDisk",
                digest="d",
                answer=answer,
                now_ms=now_ms,
                forget_before_ms=now_ms - 100,
            )

    def find(invocation: str, caller: str = "me", digest: str = "d") -> str | None:
        with catalog.read() as transaction:
            return transaction.answers.find(caller, invocation, "CreateDisk", digest)

    remember("i-1", 1000, "first")
    remember("i-1", 1001, "first, again")
    assert (find("i-1"), find("i-1", caller="you"), find("i-1", digest="x")) == (
        "first, again",
        None,
        None,
    )
    remember("i-2", 1102, "second")
    assert (find("i-1"), find("i-2")) == (None, "second")


def test_a_snapshot_that_was_not_frozen_is_taken_back(catalog: Catalog) -> None:
    one = snapshot("snap")
    with catalog.write() as transaction:
        transaction.snapshots.add(one)
        transaction.operations.add([operation(1, job_id=one.id), operation(2)])
        transaction.jobs.add(job(one.id))

    with catalog.write() as transaction:
        recording.take_back(transaction, one)

    with catalog.read() as transaction:
        assert transaction.snapshots.all() == []
        assert transaction.names.find(REGION, "snap") is None
        assert transaction.jobs.all() == []
        assert [one.id for one in transaction.operations.page(REGION, None, 9)[0]] == [
            "operation-2"
        ]


def test_what_is_not_there_is_not_changed(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("data"))
        transaction.disks.change("id-data", state=DiskState.ERROR)
        assert transaction.disks.change_if_there("id-data", state=DiskState.ERROR)
        assert not transaction.disks.change_if_there("id-none", state=DiskState.ERROR)
        with pytest.raises(MissingRowError, match="no longer has the Disk id-none"):
            transaction.disks.change("id-none", state=DiskState.ERROR)
