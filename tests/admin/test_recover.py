"""`mooringd recover`: an empty catalog becomes what the vault knows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.main import main
from mooring.admin.recovery.recover import recover
from mooring.config.settings import Region, Settings
from mooring.engine.interface import Export
from mooring.engine.memory import MemoryEngine
from mooring.jobs.automatic.due import take_due
from mooring.model.access import UNBOUND
from mooring.model.automatic.rules import AutoSource
from mooring.model.errors import ConfigurationError, ServerRunningError
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.admin.servers import REGION, ZONE, Server, blocks, running, settings_at, store

TAGS = [{"key": "team", "value": "blue"}, {"key": "alone"}]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def fresh(tmp_path: Path, vault: Path) -> Settings:
    """An empty data directory on the vault."""
    return settings_at(tmp_path / "fresh", vault)


def engine_of(server: Server) -> MemoryEngine:
    engine = server.mooring.backend.engines[ZONE]
    assert isinstance(engine, MemoryEngine)
    return engine


def write(server: Server, disk: str, data: bytes) -> None:
    engine_of(server).attach("client", Export(disk, disk))
    engine_of(server).write(disk, 0, data)
    engine_of(server).detach("client", disk)


def snapshots(server: Server) -> list[dict[str, Any]]:
    return [dict(one) for one in server.call("GetDiskSnapshots")["diskSnapshots"]]


def test_all_comes_back_and_can_be_restored(
    tmp_path: Path, vault: Path, fresh: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings_at(tmp_path / "lost", vault)) as server:
        server.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)
        server.settle()
        with server.mooring.backend.catalog.read() as transaction:
            (disk,) = transaction.disks.all()
        for number, name in enumerate(("first", "second")):
            write(server, disk.id, blocks(number, 3))
            server.call("CreateDiskSnapshot", diskName="data", diskSnapshotName=name, tags=TAGS)
            server.settle()
        before = snapshots(server)
        assert [one["state"] for one in before] == ["completed", "completed"]

    assert recover(fresh, str(vault)) == 0
    assert capsys.readouterr().out == "2 snapshots recovered\n"

    with running(fresh) as server:
        assert snapshots(server) == before
        server.call(
            "CreateDiskFromSnapshot",
            diskName="back",
            diskSnapshotName="first",
            availabilityZone=ZONE,
            sizeInGb=8,
        )
        server.settle()
        with server.mooring.backend.catalog.read() as transaction:
            (disk,) = transaction.disks.all()
        engine_of(server).attach("client", Export(disk.id, disk.id))
        assert engine_of(server).read(disk.id, 0, len(blocks(0, 3))) == blocks(0, 3)


def test_blueprints_and_snapshots_of_system_disks_come_back(
    tmp_path: Path, vault: Path, fresh: Settings
) -> None:
    known = {"availabilityZone": ZONE, "bundleId": "external"}
    with running(settings_at(tmp_path / "lost", vault)) as server:
        server.call("CreateDisk", diskName="golden", availabilityZone=ZONE, sizeInGb=8)
        server.settle()
        server.call("CreateDiskSnapshot", diskName="golden", diskSnapshotName="g1")
        server.settle()
        asked = {"blueprintId": "debian-13", "diskSnapshotName": "g1", "platform": "windows"}
        context = Context(REGION, "AKIATEST", "r", None, 0, UNBOUND)
        own_handlers(server.mooring.backend)["blueprint"](context, asked)
        server.settle()
        server.call("CreateInstances", instanceNames=["web"], blueprintId="debian-13", **known)
        server.settle()
        server.call("CreateDiskSnapshot", instanceName="web", diskSnapshotName="first")
        server.call("CreateInstanceSnapshot", instanceName="web", instanceSnapshotName="all")
        server.settle()
        before = snapshots(server)
        listed = server.call("GetBlueprints")

    assert recover(fresh, str(vault)) == 0

    with running(fresh) as server:
        assert snapshots(server) == before
        assert server.call("GetBlueprints") == listed
        server.call("CreateInstances", instanceNames=["web2"], blueprintId="debian-13", **known)
        server.call(
            "CreateInstancesFromSnapshot",
            instanceNames=["web3"],
            instanceSnapshotName="all",
            **known,
        )
        server.settle()
        for name in ("web2", "web3"):
            found = server.call("GetInstance", instanceName=name)["instance"]
            (disk,) = found["hardware"]["disks"]
            assert (disk["name"], disk["isSystemDisk"]) == (f"{name}-system", True)


def test_copies_and_automatic_snapshots_come_back(
    tmp_path: Path, vault: Path, fresh: Settings
) -> None:
    with running(settings_at(tmp_path / "lost", vault)) as server:
        tags = [{"key": "mooring:snapshots", "value": "hourly keep 1 day"}]
        server.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8, tags=tags)
        server.settle()
        catalog = server.mooring.backend.catalog
        with catalog.read() as transaction:
            (disk,) = transaction.disks.all()
        write(server, disk.id, blocks(1, 3))
        with catalog.write() as transaction:
            transaction.auto_runs.move(disk.id, AutoSource.TAG, 0)
        assert take_due(server.mooring.backend) == 1
        server.settle()
        copying = {"sourceRegion": REGION, "sourceResourceName": "data"}
        server.call(
            "CopySnapshot",
            **copying,
            useLatestRestorableAutoSnapshot=True,
            targetSnapshotName="kept",
        )
        server.settle()
        (before,) = snapshots(server)
        with catalog.read() as transaction:
            (auto,) = transaction.snapshots.auto_of_disk(disk.id)

    assert recover(fresh, str(vault)) == 0

    with running(fresh) as server:
        found = {one["name"]: one for one in snapshots(server)}
        assert found.pop("kept") == before
        # Without its disk nobody would find it, so it is a manual one now.
        ((name, one),) = found.items()
        assert re.fullmatch(r"data-auto-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}", name)
        assert one["isFromAutoSnapshot"] is True
        with server.mooring.backend.catalog.read() as transaction:
            kept = transaction.snapshots.by_name(REGION, "kept")
        assert kept is not None
        assert kept.content == auto.id


def instance_snapshot(server: Server) -> None:
    """An instance with two disks, and a snapshot of both."""
    server.call(
        "CreateInstances",
        instanceNames=["web"],
        availabilityZone=ZONE,
        blueprintId="external",
        bundleId="external",
    )
    server.settle()
    for number, name in enumerate(("data", "logs")):
        server.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)
        server.settle()
        with server.mooring.backend.catalog.read() as transaction:
            disk = transaction.disks.by_name(REGION, name)
        assert disk is not None
        write(server, disk.id, blocks(number, 3))
        path = f"/dev/xvd{'fg'[number]}"
        server.call("AttachDisk", diskName=name, instanceName="web", diskPath=path)
        server.settle()
    server.call("CreateInstanceSnapshot", instanceName="web", instanceSnapshotName="all", tags=TAGS)
    server.settle()


def test_instance_snapshots_come_back_whole(
    tmp_path: Path, vault: Path, fresh: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings_at(tmp_path / "lost", vault)) as server:
        instance_snapshot(server)
        before = server.call("GetInstanceSnapshots")
        assert before["instanceSnapshots"][0]["state"] == "available"

    assert recover(fresh) == 0
    assert capsys.readouterr().out == "0 snapshots recovered\n1 instance snapshot recovered\n"

    with running(fresh) as server:
        assert server.call("GetInstanceSnapshots") == before
        assert snapshots(server) == []


def test_the_rest_of_an_instance_snapshot_comes_back_as_disk_snapshots(
    tmp_path: Path, vault: Path, fresh: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings_at(tmp_path / "lost", vault)) as server:
        instance_snapshot(server)
        with server.mooring.backend.catalog.read() as transaction:
            logs = transaction.instance_snapshots.all()[0].parts[1]
    (vault / "roots" / logs.id).unlink()

    assert recover(fresh) == 0
    assert "all-data was part of an instance snapshot that is not" in capsys.readouterr().out

    with running(fresh) as server:
        assert server.call("GetInstanceSnapshots")["instanceSnapshots"] == []
        (data,) = snapshots(server)
        assert (data["name"], data["state"]) == ("all-data", "completed")


def automatic_instance_snapshot(server: Server) -> InstanceSnapshot:
    """An instance with two disks, an automatic snapshot of both, and a copy of that."""
    instance_snapshot(server)
    server.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    daily = [{"key": "mooring:snapshots", "value": "daily keep 1 week"}]
    server.call("TagResource", resourceName="web", tags=daily)
    catalog = server.mooring.backend.catalog
    with catalog.write() as transaction:
        (instance,) = transaction.instances.all()
        transaction.auto_runs.move(instance.id, AutoSource.TAG, 0)
    assert take_due(server.mooring.backend) == 1
    server.settle()
    server.call(
        "CopySnapshot",
        sourceRegion=REGION,
        sourceResourceName="web",
        useLatestRestorableAutoSnapshot=True,
        targetSnapshotName="kept",
    )
    server.settle()
    with catalog.read() as transaction:
        (found,) = transaction.instance_snapshots.auto_of_instance(instance.id)
    return found


def test_automatic_snapshots_of_instances_come_back(
    tmp_path: Path, vault: Path, fresh: Settings
) -> None:
    with running(settings_at(tmp_path / "lost", vault)) as server:
        whole = automatic_instance_snapshot(server)
        (kept,) = server.call("GetInstanceSnapshots")["instanceSnapshots"]

    assert recover(fresh) == 0

    with running(fresh) as server:
        answer = server.call("GetInstanceSnapshots")["instanceSnapshots"]
        found = {one["name"]: one for one in answer}
        assert found.pop("kept") == kept
        # Without its instance nobody would find it, so it is a manual one now.
        ((name, one),) = found.items()
        assert re.fullmatch(r"web-auto-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}", name)
        assert (one["state"], one["isFromAutoSnapshot"]) == ("available", True)
        assert snapshots(server) == []
        with server.mooring.backend.catalog.read() as transaction:
            again = transaction.instance_snapshots.by_name(REGION, name)
        assert again is not None
        assert [part.id for part in again.parts] == [part.id for part in whole.parts]


def test_automatic_ones_of_what_is_there_stay_automatic(tmp_path: Path, vault: Path) -> None:
    """An older catalog, or a disk that was recovered by its description, has what they are of."""
    settings = settings_at(tmp_path / "known", vault)
    with running(settings) as server:
        whole = automatic_instance_snapshot(server)
        hourly = [{"key": "mooring:snapshots", "value": "hourly keep 1 day"}]
        server.call("TagResource", resourceName="data", tags=[*hourly, *TAGS])
        catalog = server.mooring.backend.catalog
        with catalog.write() as transaction:
            data = transaction.disks.by_name(REGION, "data")
            assert data is not None
            transaction.auto_runs.move(data.id, AutoSource.TAG, 0)
        assert take_due(server.mooring.backend) == 1
        server.settle()
        with catalog.write() as transaction:
            (taken,) = transaction.snapshots.auto_of_disk(data.id)
            transaction.snapshots.remove(taken)
            transaction.instance_snapshots.remove(whole)
            assert not transaction.automatic_of(data.id)
            assert not transaction.automatic_of(whole.instance_id)

    assert recover(settings, add=True) == 0

    with running(settings) as server, server.mooring.backend.catalog.read() as transaction:
        (again,) = transaction.snapshots.auto_of_disk(data.id)
        assert (again.id, again.name, again.auto, again.from_auto, again.consistency) == (
            taken.id,
            taken.name,
            AutoSource.TAG,
            False,
            taken.consistency,
        )
        assert again.tags == taken.tags
        (back,) = transaction.instance_snapshots.auto_of_instance(whole.instance_id)
        assert (back.id, back.name, back.auto, back.from_auto) == (
            whole.id,
            whole.name,
            AutoSource.TAG,
            False,
        )
        assert [(one.id, one.name, one.tags, one.from_auto) for one in back.parts] == [
            (one.id, one.name, one.tags, one.from_auto) for one in whole.parts
        ]
        assert back.consistency == whole.consistency is not None
        others = {one.name for one in transaction.snapshots.all() if one.auto is None}
        kept = {f"kept/{one.disk_name}" for one in whole.parts}
        assert others == kept | {one.name for one in whole.parts}


def test_the_rest_of_an_automatic_one_of_an_instance(
    tmp_path: Path, vault: Path, fresh: Settings
) -> None:
    with running(settings_at(tmp_path / "lost", vault)) as server:
        whole = automatic_instance_snapshot(server)
    (vault / "roots" / whole.parts[1].id).unlink()

    assert recover(fresh) == 0

    with running(fresh) as server:
        (data,) = snapshots(server)
        assert re.fullmatch(r"web-auto-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}-data", data["name"])
        assert (data["state"], data["isFromAutoSnapshot"]) == ("completed", True)


def test_what_is_there_is_never_overwritten(fresh: Settings) -> None:
    store(fresh, "one", blocks(1, 1))
    assert recover(fresh) == 0
    with pytest.raises(ConfigurationError, match=r"is not empty \(1 snapshot\) and was left"):
        recover(fresh)
    with running(fresh) as server:
        assert len(snapshots(server)) == 1


def test_not_beside_a_server(fresh: Settings) -> None:
    store(fresh, "one", blocks(1, 1))
    with running(fresh) as server:
        with pytest.raises(ServerRunningError):
            recover(fresh)
        assert snapshots(server) == []


def test_a_vault_that_no_region_names(
    tmp_path: Path, fresh: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store(fresh, "one", blocks(1, 1))
    with pytest.raises(ConfigurationError, match="no region of the settings has its vault in"):
        recover(fresh, str(tmp_path / "elsewhere"))
    arguments = ["recover", "--data", str(tmp_path / "x"), "--vault", str(tmp_path / "vault")]
    assert main(arguments) == 2
    assert f'vault = "{tmp_path / "vault"}" under [regions.us-east-2]' in capsys.readouterr().err


def test_snapshots_of_another_region(fresh: Settings, vault: Path) -> None:
    store(fresh, "one", blocks(1, 1))
    regions = {"us-west-2": Region(zones=["us-west-2a"], vault=str(vault))}
    with pytest.raises(ConfigurationError, match="regions that are not in the settings: us-east"):
        recover(replace(fresh, regions=regions))


def test_a_name_taken_twice_goes_to_the_newest(
    fresh: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store(fresh, "zzz", blocks(1, 1), name="nightly", created_ms=1000)
    store(fresh, "aaa", blocks(2, 1), name="nightly", created_ms=2000)

    assert recover(fresh) == 0

    assert "nightly is taken by a newer snapshot; the older one is now nightly-zzz" in (
        capsys.readouterr().out
    )
    with running(fresh) as server:
        assert [one["name"] for one in snapshots(server)] == ["nightly-zzz", "nightly"]
        with server.mooring.backend.catalog.read() as transaction:
            found = transaction.snapshots.by_name(REGION, "nightly")
        assert found is not None
        assert found.id == "aaa"


def test_a_damaged_root_is_told_and_the_rest_recovered(
    fresh: Settings, vault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(fresh, "one", blocks(1, 1), name="one")
    store(fresh, "two", blocks(2, 1), name="two")
    (vault / "roots" / "two").write_bytes(b"")

    assert recover(fresh) == 1

    assert "NOT recovered: two: the root of snapshot two is damaged" in capsys.readouterr().out
    with running(fresh) as server:
        assert [one["name"] for one in snapshots(server)] == ["one"]
