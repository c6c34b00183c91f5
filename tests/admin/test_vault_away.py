"""A vault that is away, another or older: told, left alone, taken up."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.health.vaults import vault_findings
from mooring.admin.vaults.accept import accept
from mooring.admin.vaults.collect import collect
from mooring.admin.vaults.replicate import replicate
from mooring.admin.vaults.verify import verify
from mooring.config.settings import Region, Settings
from mooring.engine.interface import Engine
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.watching import vaults as watching
from mooring.model.errors import (
    ConfigurationError,
    OperationFailureException,
    RootsMissingError,
    VaultAwayError,
)
from mooring.model.resources.job_arguments import OfVault, ReplicateVault
from mooring.observe import metrics
from tests.admin.servers import REGION, ZONE, Server, settings_at

OTHER, OTHER_ZONE = "us-west-2", "us-west-2a"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two regions, each with a vault in a directory of its own."""
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    regions = {**made.regions, OTHER: Region(zones=[OTHER_ZONE], vault=str(tmp_path / "west"))}
    return replace(made, regions=regions)


ENGINES: dict[tuple[str, str], Engine] = {}
"""Disks in memory that outlive the server, as real ones do, by data directory and zone."""


@pytest.fixture(autouse=True)
def _forget_engines() -> Iterator[None]:
    yield
    ENGINES.clear()


@contextmanager
def started(settings: Settings) -> Iterator[Server]:
    """A server that has begun as it does, but runs its jobs in `settle`."""
    server = Server(settings)
    mooring = server.mooring
    engines = mooring.backend.engines
    assert isinstance(engines, dict)
    for zone in engines:
        engines[zone] = ENGINES.setdefault((settings.data, zone), engines[zone])
    try:
        mooring.runner.start = lambda: None  # type: ignore[method-assign]
        mooring.schedule.start = lambda: None  # type: ignore[method-assign]
        mooring.start()
        yield server
    finally:
        mooring.stop()


def disk(server: Server, name: str = "d1", zone: str = ZONE, region: str = REGION) -> None:
    server.call("CreateDisk", region=region, diskName=name, availabilityZone=zone, sizeInGb=8)
    server.settle()


def snapshot(server: Server, name: str, of: str = "d1", region: str = REGION) -> None:
    server.call("CreateDiskSnapshot", region=region, diskName=of, diskSnapshotName=name)
    server.settle()


def state(server: Server, name: str) -> str:
    told = server.call("GetDiskSnapshot", diskSnapshotName=name)
    return str(told["diskSnapshot"]["state"])


def roots(vault: Path) -> list[Path]:
    """The roots of the vault, oldest first."""
    return sorted((vault / "roots").iterdir(), key=lambda one: one.stat().st_mtime_ns)


def objects(vault: Path) -> list[Path]:
    """All files but that which only holds room."""
    return sorted(path for path in vault.rglob("*") if ".reserve" not in path.parts)


def look(server: Server) -> None:
    server.mooring.schedule.vaults.look()


def metric(name: str, region: str = REGION) -> str:
    wanted = f'{name}{{region="{region}"}} '
    return next(
        line.removeprefix(wanted)
        for line in metrics.text().decode().splitlines()
        if line.startswith(wanted)
    )


@pytest.mark.parametrize("left", ["nothing", "an empty mount point"])
def test_one_that_is_away_at_the_start_is_not_made_anew(
    settings: Settings, tmp_path: Path, left: str
) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
    shutil.move(tmp_path / "vault", tmp_path / "away")
    if left != "nothing":
        (tmp_path / "vault").mkdir()

    with started(settings) as server:
        with pytest.raises(OperationFailureException, match=r"and it has 1 snapshot\. Mount it"):
            snapshot(server, "two")
        with pytest.raises(OperationFailureException, match="has no vault right now"):
            server.call(
                "CreateDiskFromSnapshot",
                diskName="e1",
                availabilityZone=ZONE,
                sizeInGb=8,
                diskSnapshotName="one",
            )
        assert not (tmp_path / "vault").exists() or not list((tmp_path / "vault").iterdir())
        assert metric("mooring_vault_away") == "1.0"
        assert metric("mooring_vault_away", OTHER) == "0.0"
        # What needs no vault goes on here, and everything elsewhere.
        disk(server, "needs-no-vault")
        disk(server, "w1", OTHER_ZONE, OTHER)
        snapshot(server, "west", "w1", OTHER)
        # A deletion waits for the vault rather than forget what is in it.
        server.call("DeleteDiskSnapshot", diskSnapshotName="one")
        server.settle()
        shutil.rmtree(tmp_path / "vault", ignore_errors=True)
        shutil.move(tmp_path / "away", tmp_path / "vault")
        look(server)
        assert metric("mooring_vault_away") == "0.0"
        snapshot(server, "two")
        assert state(server, "two") == "completed"


def test_a_vault_that_goes_away_while_the_server_runs(settings: Settings, tmp_path: Path) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
        server.call("CreateDiskSnapshot", diskName="d1", diskSnapshotName="two")
        shutil.move(tmp_path / "vault", tmp_path / "away")
        (tmp_path / "vault").mkdir()
        server.settle()
        assert state(server, "two") == "pending"
        with pytest.raises(OperationFailureException, match="has no vault right now"):
            snapshot(server, "three")
        assert not list((tmp_path / "vault").iterdir())
        (tmp_path / "vault").rmdir()
        shutil.move(tmp_path / "away", tmp_path / "vault")
        # What was taken before is stored now, without anybody's help.
        snapshot(server, "four")
        names = ("one", "two", "four")
        for _ in range(100):
            server.settle()
            if all(state(server, name) == "completed" for name in names):
                break
            time.sleep(0.1)
        assert [state(server, name) for name in names] == ["completed"] * 3


def test_another_vault_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
    there = replace(settings.regions[REGION], vault=str(tmp_path / "misspelt"))
    misspelt = replace(settings, regions={**settings.regions, REGION: there})
    with started(misspelt) as server:
        with pytest.raises(OperationFailureException, match="if it is lost, `mooringd accept"):
            snapshot(server, "two")
        assert not (tmp_path / "misspelt").exists()
    with started(replace(settings, data=str(tmp_path / "elsewhere"), regions={REGION: there})):
        assert (tmp_path / "misspelt" / "vault").exists()
    before = objects(tmp_path / "misspelt")
    with started(misspelt) as server:
        with pytest.raises(OperationFailureException, match="but another one"):
            snapshot(server, "two")
        assert objects(tmp_path / "misspelt") == before
    with started(settings) as server:
        snapshot(server, "two")
        assert state(server, "two") == "completed"


def test_a_catalog_without_the_id_adopts_what_has_its_snapshots(
    settings: Settings, tmp_path: Path
) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
    forget_ids(settings)
    another = replace(settings.regions[REGION], vault=str(tmp_path / "another"))
    with started(replace(settings, data=str(tmp_path / "elsewhere"), regions={REGION: another})):
        pass
    wrong = replace(settings, regions={**settings.regions, REGION: another})
    with (
        started(wrong) as server,
        pytest.raises(OperationFailureException, match="has none of 1 completed snapshot"),
    ):
        snapshot(server, "two")
    with started(settings) as server:
        snapshot(server, "two")
    shutil.move(tmp_path / "vault", tmp_path / "away")
    with (
        started(settings) as server,
        pytest.raises(OperationFailureException, match="it has 2 snapshots"),
    ):
        snapshot(server, "three")


def forget_ids(settings: Settings) -> None:
    """As a catalog is that knew of no ids of vaults."""
    with closing(sqlite3.connect(Path(settings.data) / "catalog.sqlite")) as connection:
        connection.execute("DELETE FROM vaults")
        connection.commit()


def test_a_lost_root_is_told_and_nothing_is_collected(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(settings) as server:
        disk(server)
        for name in ("one", "two"):
            snapshot(server, name)
    first = roots(tmp_path / "vault")[0]
    kept = first.read_bytes()
    first.unlink()

    assert verify(settings) == 1
    assert "snapshot one of disk d1" in capsys.readouterr().out
    assert verify(settings, disk="d1") == 1
    assert "snapshot one of disk d1" in capsys.readouterr().out
    assert verify(settings, snapshot="one") == 1
    assert "snapshot one of disk d1" in capsys.readouterr().out
    assert verify(settings, snapshot="two") == 0
    with pytest.raises(RootsMissingError, match="nothing was collected"):
        collect(settings)
    ok, text = next(iter(vault_findings(settings)))
    assert not ok
    assert "snapshot one of disk d1" in text
    with started(settings) as server:
        assert [state(server, name) for name in ("one", "two")] == ["error", "completed"]
        assert metric("mooring_vault_missing_snapshots") == "1.0"
        # The region goes on.
        snapshot(server, "three")
        assert state(server, "three") == "completed"
        first.write_bytes(kept)
        look(server)
        assert state(server, "one") == "completed"
        assert metric("mooring_vault_missing_snapshots") == "0.0"
    assert verify(settings) == 0
    assert collect(settings) == 0


def test_a_lost_snapshot_that_is_deleted_is_missed_no_more(
    settings: Settings, tmp_path: Path
) -> None:
    with started(settings) as server:
        disk(server)
        for name in ("one", "two"):
            snapshot(server, name)
    roots(tmp_path / "vault")[0].unlink()
    with started(settings) as server:
        server.call("DeleteDiskSnapshot", diskSnapshotName="one")
        server.settle()
        look(server)
        assert metric("mooring_vault_missing_snapshots") == "0.0"
    assert collect(settings) == 0


def test_an_older_vault_is_only_read_from_until_it_is_accepted(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
    shutil.copytree(tmp_path / "vault", tmp_path / "older")
    with started(settings) as server:
        snapshot(server, "two")
    shutil.move(tmp_path / "vault", tmp_path / "newer")
    shutil.move(tmp_path / "older", tmp_path / "vault")
    with started(settings) as server:
        with pytest.raises(OperationFailureException, match="older than the catalog"):
            snapshot(server, "three")
        server.call(
            "CreateDiskFromSnapshot",
            diskName="e1",
            availabilityZone=ZONE,
            sizeInGb=8,
            diskSnapshotName="one",
        )
        assert [state(server, name) for name in ("one", "two")] == ["completed", "error"]

        assert accept(settings, REGION) == 0
        assert "two of disk d1" in capsys.readouterr().out
        look(server)
        snapshot(server, "three")
        assert [state(server, name) for name in ("two", "three")] == ["error", "completed"]
    assert verify(settings) == 0
    assert collect(settings) == 0


def test_a_lost_vault_is_made_anew_when_somebody_says_so(
    settings: Settings, tmp_path: Path
) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
        shutil.rmtree(tmp_path / "vault")
        look(server)
        assert accept(settings, REGION) == 0
        # A running server takes it up by itself.
        look(server)
        assert state(server, "one") == "error"
        snapshot(server, "two")
        assert state(server, "two") == "completed"
    assert verify(settings) == 0
    with pytest.raises(ConfigurationError, match="there is no region"):
        accept(settings, "nowhere")


@pytest.mark.parametrize("looked", [False, True])
def test_what_a_vault_holds_is_completed_again_when_it_is_back(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], looked: bool
) -> None:
    """A running server sees it by itself, also when vaults change between two looks."""

    def exchange(taken: str, put: str) -> None:
        shutil.move(tmp_path / "vault", tmp_path / taken)
        if put:
            shutil.move(tmp_path / put, tmp_path / "vault")
        if looked:
            look(server)
        assert accept(settings, REGION) == 0
        look(server)

    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
        exchange("first", "")
        snapshot(server, "two")
        assert [state(server, name) for name in ("one", "two")] == ["error", "completed"]
        for taken, put, states in (
            ("second", "first", ["completed", "error"]),
            ("first", "second", ["error", "completed"]),
            ("second", "first", ["completed", "error"]),
        ):
            capsys.readouterr()
            exchange(taken, put)
            assert [state(server, name) for name in ("one", "two")] == states
            assert "is in it again" in capsys.readouterr().out
        snapshot(server, "three")
        assert state(server, "three") == "completed"
    assert verify(settings) == 0
    assert collect(settings) == 0


def test_what_was_given_up_is_completed_again_when_its_root_is_put_back(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0.0)
    with started(settings) as server:
        disk(server)
        for name in ("one", "two"):
            snapshot(server, name)
        lost = {path: path.read_bytes() for path in roots(tmp_path / "vault")}
        for path in lost:
            path.unlink()
        assert accept(settings, REGION) == 0
        look(server)
        look(server)
        assert [state(server, name) for name in ("one", "two")] == ["error", "error"]
        for back, (path, content) in enumerate(lost.items(), start=1):
            path.write_bytes(content)
            look(server)
            states = [state(server, name) for name in ("one", "two")]
            assert states.count("completed") == back
    assert verify(settings) == 0


def test_a_root_that_nobody_knows_is_told(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(settings) as server:
        disk(server)
        snapshot(server, "one")
    kept = roots(tmp_path / "vault")[0]
    content = kept.read_bytes()
    with started(settings) as server:
        snapshot(server, "two")
        server.call("DeleteDiskSnapshot", diskSnapshotName="one")
        # As long as a job is to delete it, it is no stranger.
        assert verify(settings) == 0
        server.settle()
    kept.write_bytes(content)
    capsys.readouterr()
    # Another server may have stored it.
    assert verify(settings) == 0
    told = capsys.readouterr().out
    assert f"has 1 snapshot that this catalog does not know ({kept.name})" in told
    assert any(ok and "does not know" in text for ok, text in vault_findings(settings))
    with started(settings):
        assert metric("mooring_vault_unknown_snapshots") == "1.0"


def test_two_regions_in_one_place_are_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "vault")
    same = replace(settings.regions[OTHER], vault=str(tmp_path / "link"))
    both = replace(settings, regions={**settings.regions, OTHER: same})
    with pytest.raises(ConfigurationError, match=r"regions\.us-west-2\.vault and regions"):
        Server(both)
    same = replace(settings.regions[OTHER], replica=str(tmp_path / "vault"))
    both = replace(settings, regions={**settings.regions, OTHER: same})
    with pytest.raises(ConfigurationError, match="its own place"):
        Server(both)


def test_a_copy_of_another_regions_vault_is_not_taken_for_a_regions(
    settings: Settings, tmp_path: Path
) -> None:
    with started(replace(settings, regions={REGION: settings.regions[REGION]})):
        pass
    shutil.copytree(tmp_path / "vault", tmp_path / "west")
    with started(settings) as server:
        disk(server, "w1", OTHER_ZONE, OTHER)
        with pytest.raises(OperationFailureException, match="is the vault of us-east-2"):
            snapshot(server, "west", "w1", OTHER)


def test_a_copy_that_is_away_is_not_begun_anew(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    region = replace(settings.regions[REGION], replica=str(copy))
    copied = replace(settings, regions={REGION: region})
    with started(copied) as server:
        disk(server)
        snapshot(server, "one")
        assert replicate(copied) == 0
        shutil.move(copy, tmp_path / "away")
        with pytest.raises(ConfigurationError, match="is away: mount it, or put it back"):
            replicate(copied)
        assert not copy.exists()
        copy.mkdir()
        with pytest.raises(VaultAwayError, match="is away"):
            replicate(copied)
        run_job(server, ReplicateVault())
        assert not list(copy.iterdir())
        found = dict(enumerate(vault_findings(copied)))
        assert not found[1][0]
        assert "had a copy" in found[1][1]
        copy.rmdir()
        shutil.move(tmp_path / "away", copy)
        assert replicate(copied) == 0
        shutil.rmtree(copy)
        assert replicate(copied, new=True) == 0
    assert "is complete" in capsys.readouterr().out


def run_job(server: Server, job: OfVault) -> None:
    with server.mooring.backend.catalog.write() as transaction:
        assert enqueue(transaction, server.mooring.backend, job, REGION)
    server.settle()
