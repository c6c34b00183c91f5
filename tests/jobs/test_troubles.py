"""What is wrong is seen, recorded and told once, and so is its end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.cli.own.screens.status import screen
from mooring.engine.interface import DiskHealth
from mooring.host import room
from mooring.host.rooms import Rooms
from mooring.jobs.automatic.due import take_due
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.watching import sources
from mooring.jobs.watching.disks import DiskWatch
from mooring.jobs.watching.telling import FREELY, Telling
from mooring.jobs.watching.troubles import RENEW_MS, Rhythm, TroubleWatch
from mooring.model.errors import CanceledError, NotifyError
from mooring.model.resources.host import Host
from mooring.model.resources.job_arguments import ReplicateVault, VerifyVault
from mooring.model.resources.job_kind import JobKind
from mooring.model.trouble import Trouble, TroubleKind
from mooring.notify.memory import MemoryChannel
from mooring.observe import metrics
from mooring.observe.loop import Loop
from mooring.service.overview.overview import overview
from mooring.vault.vault import Replica
from tests.service.world import REGION, ZONE, World

DAY_MS = 86_400_000
RHYTHM = [{"key": "mooring:snapshots", "value": "every 10 minutes keep 1 day"}]


class Seen:
    """A source that sees what it is told to."""

    def __init__(self) -> None:
        self.found: list[Trouble] = []
        self.broken = False

    def __call__(self) -> list[Trouble]:
        if self.broken:
            raise OSError("this source is broken")
        return self.found


AWAY = Trouble(kind=TroubleKind.VAULT_AWAY, text="the vault is away", region=REGION)


class Watched:
    """A world with a watch of one source, and one who is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen, self.shared = Seen(), Seen()
        self.channel = MemoryChannel()
        self.start()

    def start(self) -> None:
        """As a server that was started again."""
        self.watch = TroubleWatch(self.world.backend, {"own": self.seen}, {"shared": self.shared})
        self.telling = Telling(self.world.backend, [self.channel], self.watch.leads, DAY_MS)

    def look(self, seconds: float = 10.0) -> list[str]:
        """Let time pass, and say what was told."""
        self.world.clock.advance(seconds)
        self.watch.look()
        before = len(self.channel.sent)
        self.telling.tell(self.channel)
        return [
            line.split(" ")[0]
            for message in self.channel.sent[before:]
            for line in message.text.splitlines()
            if line[:3] in ("NEW", "STI", "OVE")
        ]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def watched(world: World) -> Watched:
    return Watched(world)


def test_a_trouble_is_told_once_then_daily_and_its_end(watched: Watched) -> None:
    assert watched.look() == []
    watched.seen.found = [AWAY]
    assert watched.look() == ["NEW"]
    assert watched.look() == []
    assert watched.look(DAY_MS / 1000) == ["STILL"]
    assert watched.look() == []
    watched.seen.found = []
    assert watched.look() == []
    assert watched.look() == []
    assert watched.look() == ["OVER"]
    assert watched.look() == []
    with watched.world.catalog.read() as transaction:
        assert transaction.troubles.of(["here", ""]) == []


def test_what_flickers_is_told_once(watched: Watched) -> None:
    watched.seen.found = [AWAY]
    told = watched.look()
    for _ in range(5):
        watched.seen.found = []
        told += watched.look()
        watched.seen.found = [AWAY]
        told += watched.look()

    assert told == ["NEW"]


def test_a_restart_tells_nothing_twice_and_still_tells_the_end(watched: Watched) -> None:
    watched.seen.found = [AWAY]
    watched.look()
    watched.start()
    assert watched.look() == []
    watched.start()
    watched.seen.found = []
    assert [watched.look(), watched.look(), watched.look()] == [[], [], ["OVER"]]


def test_a_storm_is_told_in_few_messages(watched: Watched) -> None:
    def away(number: int) -> Trouble:
        return Trouble(kind=AWAY.kind, text=f"vault {number} is away", region=f"region-{number}")

    for number in range(200):
        watched.seen.found = [*watched.seen.found, away(number)]
        watched.look()

    # Twenty at once, then one every five minutes: 200 looks are 2000 seconds.
    assert FREELY + 5 <= len(watched.channel.sent) <= FREELY + 7
    watched.look(300)
    told = sum(len(message.untold.begun) for message in watched.channel.sent)
    assert told == 200
    for _ in range(12):
        watched.look(300)
    before = len(watched.channel.sent)
    for number in range(200, 205):
        watched.seen.found = [*watched.seen.found, away(number)]
        watched.look()
    assert len(watched.channel.sent) == before + 5


def test_what_could_not_be_sent_is_sent_later(watched: Watched) -> None:
    watched.seen.found = [AWAY]
    watched.channel.failing = "nobody answers"
    with pytest.raises(NotifyError, match="nobody answers"):
        watched.look()
    watched.channel.failing = ""

    assert watched.look() == ["NEW"]


def test_a_source_that_breaks_ends_no_trouble(watched: Watched) -> None:
    watched.seen.found = [AWAY]
    watched.look()
    watched.seen.broken = True
    assert [watched.look() for _ in range(4)] == [[], [], [], []]
    watched.seen.broken = False
    watched.seen.found = []
    assert [watched.look() for _ in range(3)] == [[], [], ["OVER"]]


def test_a_sentence_is_renewed_now_and_then(watched: Watched) -> None:
    def text() -> str:
        with watched.world.catalog.read() as transaction:
            return transaction.troubles.lasting(1)[0].trouble.text

    watched.seen.found = [AWAY]
    watched.look()
    watched.seen.found = [Trouble(kind=AWAY.kind, text="away for longer", region=REGION)]
    watched.look()
    assert text() == "the vault is away"
    watched.look(RENEW_MS / 1000)
    assert text() == "away for longer"


def test_troubles_of_this_server_and_of_all_are_told_apart(watched: Watched) -> None:
    watched.seen.found = watched.shared.found = [AWAY]
    assert watched.look() == ["NEW", "NEW"]
    watched.shared.found = []
    assert [watched.look() for _ in range(3)] == [[], [], ["OVER"]]


def test_metrics_say_how_much_is_wrong_also_where_nothing_is(watched: Watched) -> None:
    watched.seen.found = [AWAY]
    watched.look()
    text = metrics.text().decode()

    assert 'mooring_troubles{kind="vault-away"} 1.0' in text
    assert 'mooring_troubles{kind="space-full"} 0.0' in text
    assert f'mooring_pending_snapshots{{region="{REGION}"}} 0.0' in text
    assert "_created" not in text
    assert "mooring_build_info" in text


# --- the sources


def kinds(found: object) -> list[TroubleKind]:
    return [one.kind for one in found]  # type: ignore[attr-defined]


def test_automatic_snapshots_that_fail_or_are_missed_are_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk("failing", tags=RHYTHM)
    world.clock.advance(1200)
    assert kinds(sources.automatic(world.backend)) == []
    world.clock.advance(7200)
    assert kinds(sources.automatic(world.backend)) == [TroubleKind.SNAPSHOT_MISSED]

    def refuse(*_: object) -> None:
        raise CanceledError("the agent does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "freeze", refuse)
        take_due(world.backend, None)
        world.settle()
    (failed,) = sources.automatic(world.backend)
    assert failed.kind is TroubleKind.SNAPSHOT_FAILED
    assert "the agent does not answer" in failed.text
    assert (failed.region, failed.resource) == (REGION, "failing")
    world.clock.advance(3600)
    take_due(world.backend, None)
    world.settle()
    assert kinds(sources.automatic(world.backend)) == []


def test_a_single_failure_of_a_quick_rhythm_is_not_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [{"key": "mooring:snapshots", "value": "every 1 second keep 1 minute"}]
    world.disk("quick", tags=quick)

    def refuse(*_: object) -> None:
        raise CanceledError("busy")

    monkeypatch.setattr(world.engine, "freeze", refuse)
    world.clock.advance(2)
    take_due(world.backend, None)
    world.runner.drain()
    with world.catalog.read() as transaction:
        (health,) = transaction.auto_failures.health()
    now = world.clock.now_ms()
    if health.failing_ms is None:
        world.settle(5)
    assert kinds(sources.automatic(world.backend)) == []
    world.clock.advance(15)
    assert now < world.clock.now_ms()
    assert kinds(sources.automatic(world.backend)) == [TroubleKind.SNAPSHOT_FAILED]


def test_a_snapshot_that_could_not_be_stored_is_seen_until_another_is_there(world: World) -> None:
    world.disk()
    world.snapshot("broken")
    with world.catalog.write() as transaction:
        snapshot = transaction.snapshots.by_name(REGION, "broken")
        assert snapshot is not None
        transaction.snapshots.change(snapshot.id, state="error")
        job = transaction.jobs.all()[0]
        transaction.jobs._connection.exec_driver_sql("DELETE FROM jobs WHERE id = ?", (job.id,))
    (failed,) = sources.snapshots(world.backend)
    assert failed.kind is TroubleKind.SNAPSHOT_FAILED
    assert "snapshot broken of disk data" in failed.text
    world.snapshot("better")
    world.settle()
    assert kinds(sources.snapshots(world.backend)) == []


def test_damage_is_known_after_a_restart_and_a_lost_root_is_seen(world: World) -> None:
    world.write(world.disk(), 0, bytes(range(256)) * 16)
    world.snapshot("whole")
    world.settle()
    verify(world)
    runs = partial(sources.vault_runs, world.backend, 60)
    assert kinds(runs()) == []
    world.damage()
    verify(world)
    (damaged,) = runs()
    assert damaged.kind is TroubleKind.VAULT_DAMAGED
    assert "1 snapshot in the vault of us-east-2 is damaged" in damaged.text
    with world.catalog.write() as transaction:
        snapshot = transaction.snapshots.by_name(REGION, "whole")
        assert snapshot is not None
        transaction.snapshots.change(snapshot.id, state="error", lost="missing")
    assert kinds(sources.snapshots(world.backend)) == [TroubleKind.SNAPSHOTS_LOST]


def test_damage_is_known_until_it_is_gone_whatever_else_is_read(world: World) -> None:
    world.write(world.disk(), 0, random.Random(1).randbytes(16 << 20))
    world.snapshot("whole")
    world.settle()
    runs = partial(sources.vault_runs, world.backend, 60)
    world.damage()
    verify(world)
    verify(world, 1e-9)
    assert kinds(runs()) == [TroubleKind.VAULT_DAMAGED]
    verify(world, 1e-9)
    assert kinds(runs()) == [TroubleKind.VAULT_DAMAGED]
    world.call("DeleteDiskSnapshot", diskSnapshotName="whole")
    world.settle()
    verify(world, 1e-9)
    assert kinds(runs()) == []


def test_a_copy_that_was_never_made_is_seen(world: World, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("not ours")
    place = Replica(place=str(tmp_path), options={}, delete=False)
    object.__setattr__(world.backend, "replicas", {REGION: place})
    with world.catalog.write() as transaction:
        enqueue(transaction, world.backend, ReplicateVault(), REGION)
    world.settle()
    runs = partial(sources.vault_runs, world.backend, 60, world.clock.monotonic())
    world.clock.advance(2 * 3600)
    assert kinds(runs()) == []
    world.clock.advance(1000)
    (late,) = runs()
    assert late.kind is TroubleKind.REPLICA_LATE
    assert "was not brought up to date since the server started" in late.text
    # Nor is it well because of a run that was entered while the clock was ahead.
    ahead = world.clock.now_ms() + 30 * DAY_MS
    with world.catalog.write() as transaction:
        transaction.vault_runs.put(VaultRun(REGION, JobKind.REPLICATE_VAULT, ahead, 0))
    assert kinds(runs()) == [TroubleKind.REPLICA_LATE]
    assert kinds(sources.vault_runs(world.backend, 0)) == []


def test_a_copy_that_is_late_or_lacks_something_is_seen(world: World) -> None:
    place = Replica(place="/nowhere", options={}, delete=False)
    object.__setattr__(world.backend, "replicas", {REGION: place})

    def ended(problems: int) -> None:
        now = world.clock.now_ms()
        with world.catalog.write() as transaction:
            run = VaultRun(REGION, JobKind.REPLICATE_VAULT, now, problems)
            transaction.vault_runs.put(run)

    def seen() -> list[str]:
        return [one.text for one in sources.vault_runs(world.backend, 60)]

    ended(0)
    world.clock.advance(2 * 3600)
    assert seen() == []
    world.clock.advance(1000)
    (late,) = seen()
    assert "was last brought up to date at 20" in late
    ended(2)
    (lacking,) = seen()
    assert "lacks 2 snapshots" in lacking
    ended(0)
    assert seen() == []


def test_a_host_that_is_silent_or_fenced_is_seen_if_it_has_disks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world.clock.now_ms()
    with world.catalog.write() as transaction:
        for number in ("1", "2"):
            host = Host(id=number, name=f"host-{number}", zones=[ZONE], address="a")
            transaction.hosts.begin(host, now)
    disk = world.disk()
    with world.catalog.write() as transaction:
        transaction.disks.change(disk, host="1")
    monkeypatch.setattr(Catalog, "is_for_many", True)

    assert kinds(sources.hosts(world.backend)) == []
    world.clock.advance(11)
    (silent,) = sources.hosts(world.backend)
    assert silent.kind is TroubleKind.HOST_SILENT
    assert silent.text.startswith("1 disk of host-1: its host host-1 has not been heard of for 11")
    told = overview(world.backend)
    assert [(one["name"], one["state"], one["disks"]) for one in told["hosts"]] == [
        ("host-1", "silent", 1),
        ("host-2", "silent", 0),
    ]
    assert any(line.split()[:3] == ["host-1", "SILENT", "1"] for line in screen(told, 80))
    with world.catalog.write() as transaction:
        transaction.hosts.fence("1")
    (fenced,) = sources.hosts(world.backend)
    assert "was fenced" in fenced.text


def verify(world: World, percent: float = 100.0) -> None:
    from mooring.jobs.keep_vault import enqueue

    with world.catalog.write() as transaction:
        enqueue(transaction, world.backend, VerifyVault(percent=percent), REGION)
    world.settle()
    with world.catalog.read() as transaction:
        assert [one.kind for one in transaction.vault_runs.all()] == [JobKind.VERIFY_VAULT]


def test_a_file_system_that_fills_up_is_told_once_however_many_uses_it_has(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = Rooms({"disks": tmp_path, "vault of us-east-2": tmp_path}, 64 << 20)
    object.__setattr__(world.backend, "rooms", rooms)
    has = {"free": 1 << 40}

    def room_at(path: Path) -> room.Room:
        return room.Room(path, has["free"], 1 << 41)

    monkeypatch.setattr("mooring.host.rooms.room_at", room_at)
    assert kinds(sources.rooms(world.backend)) == []
    has["free"] = 1 << 32
    (short,) = sources.rooms(world.backend)
    assert short.kind is TroubleKind.SPACE_SHORT
    has["free"] = 1 << 20
    (full,) = sources.rooms(world.backend)
    assert full.kind is TroubleKind.SPACE_FULL
    assert full.resource == "disks"


def test_certificates_and_keys_that_end_are_told_before(world: World) -> None:
    now, day = world.clock.now_ms(), 86_400_000
    certificates = {"listen.certificate": now + 10 * day, "nbd.certificate": now + 90 * day}
    keys = {"old": now - 90 * day, "soon": now + day, "gone": now - day}

    ends = {TroubleKind.CERTIFICATE_ENDS: certificates, TroubleKind.KEY_ENDS: keys}
    backend = replace(world.backend, ends=lambda: ends)
    found = {one.resource: one for one in sources.ends(backend)}
    assert found.keys() == {"listen.certificate", "soon", "gone"}
    assert "ends at" in found["soon"].text
    assert "ended at" in found["gone"].text
    # A key ends because another one has taken its place.
    assert found["gone"].text.endswith(": whoever still uses it needs another one")
    assert found["listen.certificate"].text.endswith(": renew it")


def test_a_thread_that_fails_again_and_again_is_seen() -> None:
    def fail() -> None:
        raise OSError("it cannot work")

    failing = Loop("fails-in-a-test", fail)
    with ExitStack() as opened:
        opened.callback(failing.stop)
        failing.start()
        while failing.state.failures < 3:
            failing.wait(0.05)
        (found,) = [one for one in sources.threads() if one.resource == "fails-in-a-test"]
    assert "it cannot work" in found.text


def test_disks_are_looked_at_in_turns_and_those_not_well_are_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.jobs.watching.disks.PAGE", 2)
    ids = [world.disk(f"data-{number}") for number in range(5)]
    watch = DiskWatch(world.backend)
    asked: list[str] = []
    broken = {ids[4]}

    def health(disk_id: str) -> DiskHealth:
        asked.append(disk_id)
        return DiskHealth(disk_id not in broken, "a layer is missing")

    monkeypatch.setattr(world.engine, "health", health)
    ends = [watch.look() for _ in range(5)]
    while not ends[-1]:
        ends.append(watch.look())
    (found,) = watch.troubles()
    assert found.text == "disk data-4 in us-east-2a: a layer is missing"
    assert asked == ids
    broken.clear()
    while not watch.look():
        pass
    assert watch.troubles() == []


def test_a_daemon_that_is_silent_is_asked_once_for_all_its_disks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.instance()
    for name, path in (("one", "/dev/xvdf"), ("two", "/dev/xvdg"), ("three", "/dev/xvdh")):
        world.disk(name)
        world.attach(name, path=path)
    asked: list[str] = []

    def health(disk_id: str) -> DiskHealth:
        asked.append(disk_id)
        world.clock.advance(30)
        return DiskHealth(False, "the daemon is silent")

    monkeypatch.setattr(world.engine, "health", health)
    watch = DiskWatch(world.backend)
    while not watch.look():
        pass
    assert len(asked) == 1
    assert len(watch.troubles()) == 3


def test_a_channel_that_hangs_holds_up_no_other(world: World) -> None:
    """In threads, as a server has them."""
    watched = Watched(world)
    stuck = Loop("never", lambda: None)

    class Hanging(MemoryChannel):
        def send(self, message: object) -> None:
            del message
            stuck.wait(60)

    quick = Rhythm(look_seconds=0.05, tell_seconds=0.05)
    other = MemoryChannel("other")
    with ExitStack() as opened:
        both = Telling(
            world.backend, [Hanging("hanging"), other], watched.watch.leads, DAY_MS, quick
        )
        opened.callback(both.stop)
        opened.callback(stuck.signal)
        watched.seen.found = [AWAY]
        watched.watch.look()
        both.start()
        waiting = Loop("waits", lambda: None)
        for _ in range(200):
            if other.sent:
                break
            waiting.wait(0.05)
        assert len(other.sent) == 1
