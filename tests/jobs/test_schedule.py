"""The schedule: jobs when they are due, never twice, and what they do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mooring.config.settings import VaultSettings
from mooring.jobs.keep_vault import BUSY_SECONDS
from mooring.jobs.running.runner import Runner
from mooring.jobs.schedule import Schedule, tasks
from mooring.jobs.table import PROCEDURES
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job_kind import JobKind
from mooring.observe import metrics
from mooring.vault.claims.claims import Claims
from mooring.vault.claims.exclusive import without_collectors
from mooring.vault.format.layout import SEGMENTS
from mooring.vault.keeping.replicate import Replica
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault
from tests.service.world import REGION, REGIONS, World
from tests.vault.disks import info

DEFAULTS = tasks(collect_minutes=60, verify_hours=24, verify_percent=100)


@pytest.fixture
def world() -> World:
    return World()


def waiting(world: World) -> dict[JobKind, set[str]]:
    with world.catalog.read() as transaction:
        jobs = transaction.jobs.all()
    found: dict[JobKind, set[str]] = {}
    for job in jobs:
        assert job.region not in found.setdefault(job.kind, set())
        found[job.kind].add(job.region)
    return found


def test_jobs_come_when_they_are_due_and_leave_no_rows(world: World) -> None:
    told: list[JobKind] = []
    world.catalog.tell(told.extend)
    schedule = Schedule(world.backend, DEFAULTS)
    regions = set(REGIONS)
    schedule.look()
    assert waiting(world) == {}
    assert told == []

    world.clock.advance(60)
    schedule.look()
    schedule.look()
    assert waiting(world) == {JobKind.COLLECT_VAULT: regions}
    assert told == [JobKind.COLLECT_VAULT] * len(regions)
    world.settle()
    assert waiting(world) == {}

    world.clock.advance(540)
    schedule.look()
    assert waiting(world) == {JobKind.VERIFY_VAULT: regions}
    world.settle()

    world.clock.advance(24 * 3600)
    for _ in range(3):
        schedule.look()
    assert waiting(world) == {JobKind.COLLECT_VAULT: regions, JobKind.VERIFY_VAULT: regions}
    world.clock.advance(24 * 3600)
    schedule.look()
    assert waiting(world) == {JobKind.COLLECT_VAULT: regions, JobKind.VERIFY_VAULT: regions}
    world.close()


def test_tombstones_go_and_what_dead_writers_left(world: World) -> None:
    world.disk()
    world.write(world.disk_id("data"), 0, b"x" * BLOCK_SIZE)
    world.snapshot("first")
    world.settle()
    store = world.stores[REGION]
    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()
    assert list(store.names(SEGMENTS)) == []
    assert [name for name in store.names("") if name.startswith("deleted/")] != []
    # A writer that dies: its claim and its segment stay behind.
    writer = world.vault.begin(info("dead"))
    writer.write(0, b"y" * BLOCK_SIZE)
    writer._gather.flush()
    writer._drain(0)
    writer._segments.settle()
    schedule = Schedule(world.backend, DEFAULTS)

    for _ in range(2):
        world.clock.advance(3601)
        schedule.look()
        world.settle()

    assert list(store.names("")) == ["vault"]
    world.close()


def test_damage_is_logged_and_counted(world: World) -> None:
    world.disk()
    world.write(world.disk_id("data"), 0, b"x" * BLOCK_SIZE)
    world.snapshot("first")
    world.settle()
    store = world.stores[REGION]
    (name,) = store.names(SEGMENTS)
    data = bytearray(store.get(name))
    data[20] ^= 1
    store.put(name, data)
    schedule = Schedule(world.backend, DEFAULTS)

    world.clock.advance(600)
    schedule.look()
    with capture_logs() as logs:
        world.settle()

    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["ranges"] == [(0, BLOCK_SIZE)]
    assert f'mooring_vault_damaged_snapshots{{region="{REGION}"}} 1.0' in metrics.text().decode()
    world.close()


def test_a_collection_tells_what_the_vault_holds(world: World) -> None:
    world.disk()
    world.write(world.disk_id("data"), 0, os.urandom(400 * BLOCK_SIZE))
    world.snapshot("first")
    world.settle()
    world.write(world.disk_id("data"), 0, os.urandom(300 * BLOCK_SIZE))
    world.snapshot("second")
    world.settle()
    schedule = Schedule(world.backend, DEFAULTS)
    world.clock.advance(60)
    schedule.look()
    world.settle()

    def told(kind: str) -> float:
        start = f'mooring_vault_bytes{{kind="{kind}",region="{REGION}"}} '
        (line,) = [one for one in metrics.text().decode().splitlines() if one.startswith(start)]
        return float(line.removeprefix(start))

    assert told("logical") == 2 * 400 * BLOCK_SIZE
    assert 700 * BLOCK_SIZE < told("live") <= told("stored") < 710 * BLOCK_SIZE
    assert f'mooring_vault_snapshots{{region="{REGION}"}} 2.0' in metrics.text().decode()

    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()
    assert told("logical") == 400 * BLOCK_SIZE
    assert 400 * BLOCK_SIZE < told("live") <= told("stored") < 450 * BLOCK_SIZE
    world.close()


def test_copies_are_kept_where_the_settings_say(world: World, tmp_path: Path) -> None:
    replica = Replica(place=str(tmp_path / "copy"), delete=True)
    world.backend = replace(world.backend, replicas={REGION: replica})
    world.runner = Runner(world.backend, PROCEDURES)
    chosen = tasks(
        collect_minutes=0,
        verify_hours=0,
        verify_percent=1,
        replicate_minutes=60,
        replicated=[REGION],
    )
    schedule = Schedule(world.backend, chosen)
    world.disk()
    world.write(world.disk_id("data"), 0, b"x" * BLOCK_SIZE)
    world.snapshot("first")
    world.settle()
    world.clock.advance(120)
    schedule.look()
    assert waiting(world) == {JobKind.REPLICATE_VAULT: {REGION}}
    world.settle()

    store = DirectoryStore(tmp_path / "copy")
    with Vault.create_or_open(store, world.clock, create=False) as copy:
        (root,), _ = copy.readable_roots()
        assert root.info.name == "first"
        assert copy.verify() == []
    now = world.clock.now_ms() / 1000
    labels = f'{{region="{REGION}"}}'
    told = metrics.text().decode()
    assert f"mooring_replica_snapshots_not_copied{labels} 0.0" in told
    assert f"mooring_replica_complete_timestamp_seconds{labels} {now:.9g}"[:60] in told

    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()
    world.clock.advance(3600)
    schedule.look()
    # Somebody else is at it: that is no failure, and tried again.
    with without_collectors(Claims(store, world.clock, world.backend.ids, copy._cipher)):
        world.settle()
    assert len(list(store.names("roots/"))) == 1
    world.clock.advance(BUSY_SECONDS + 1)
    world.settle()
    assert list(store.names("roots/")) == []
    assert waiting(world) == {}
    world.close()


def test_what_could_not_be_recorded_is_at_the_next_look(world: World) -> None:
    schedule = Schedule(world.backend, DEFAULTS)
    world.clock.advance(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mooring.catalog.tables.jobs.Jobs.add", _fail)
        with pytest.raises(OSError, match="no such luck"):
            schedule.look()
    schedule.look()
    assert set(waiting(world)) == {JobKind.COLLECT_VAULT}
    world.close()


def _fail(*_: object) -> None:
    raise OSError("no such luck")


def test_the_thread_looks_and_stops(world: World) -> None:
    schedule = Schedule(world.backend, [])
    schedule.start()
    schedule.stop()
    Schedule(world.backend, []).stop()
    world.close()


def test_zero_leaves_a_task_out() -> None:
    assert tasks(collect_minutes=0, verify_hours=0, verify_percent=1) == []
    usual = VaultSettings()
    kinds = tasks(
        collect_minutes=usual.collect_minutes,
        verify_hours=usual.verify_hours,
        verify_percent=usual.verify_percent,
    )
    assert [task.arguments.kind for task in kinds] == [JobKind.COLLECT_VAULT, JobKind.VERIFY_VAULT]
