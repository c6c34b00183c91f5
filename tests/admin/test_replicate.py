"""`mooringd replicate`: a copy that people can recover from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.health.vaults import vault_findings
from mooring.admin.main import main
from mooring.admin.recovery.recover import recover
from mooring.admin.vaults.replicate import replicate
from mooring.admin.vaults.usage import usage
from mooring.admin.vaults.verify import verify, verify_stored
from mooring.config.settings import Region, Settings, VaultSettings
from mooring.jobs.keep_vault import enqueue
from mooring.model.errors import ConfigurationError, VaultError
from mooring.model.resources.job_arguments import ReplicateVault
from mooring.wiring.vaults import open_vault
from tests.admin.servers import REGION, ZONE, Server, blocks, running, settings_at, store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "one", blocks(1, 200), name="monday")
    store(made, "two", blocks(2, 1), name="tuesday", parent="one")
    return made


def elsewhere(tmp_path: Path) -> Settings:
    """Another host, which has only the copy."""
    return settings_at(tmp_path / "other-data", tmp_path / "copy")


def test_a_copy_is_made_and_recovered_from(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings):
        assert replicate(settings, to=str(tmp_path / "copy")) == 0
        assert replicate(settings, to=str(tmp_path / "copy")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "us-east-2: monday copied",
        "us-east-2: tuesday copied",
        "us-east-2: 2 snapshots copied",
        "us-east-2: 0 snapshots copied",
    ]
    assert lines[-1].endswith(f"0 bytes written; the copy in {tmp_path / 'copy'} is complete")

    other = elsewhere(tmp_path)
    assert recover(other, str(tmp_path / "copy")) == 0
    assert verify(other) == 0
    assert verify_stored(other) == 0
    assert usage(other) == 0
    with running(other) as server:
        found = server.call("GetDiskSnapshots")["diskSnapshots"]
        assert {one["name"] for one in found} == {"monday", "tuesday"}


def test_the_place_and_deletions_come_from_the_settings(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match=r"--to, or set regions\.<name>\.replica"):
        replicate(settings)
    region = replace(settings.regions[REGION], replica=str(tmp_path / "copy"))
    settings = replace(settings, regions={REGION: region})
    assert replicate(settings) == 0
    vault = open_vault(settings, REGION)
    assert vault is not None
    with vault:
        vault.delete("one")
    assert replicate(settings) == 0
    assert "deleted" not in capsys.readouterr().out
    follow = replace(settings, vault=VaultSettings(replica_deletions="follow"))

    assert replicate(follow) == 0

    assert "0 snapshots copied, 1 deleted" in capsys.readouterr().out
    copy = open_vault(elsewhere(tmp_path), REGION)
    assert copy is not None
    with copy:
        assert set(copy.snapshot_ids()) == {"two"}


@pytest.mark.parametrize("by", ["command", "server"])
def test_what_the_vault_has_lost_stays_in_the_copy(
    settings: Settings, tmp_path: Path, by: str
) -> None:
    region = replace(settings.regions[REGION], replica=str(tmp_path / "copy"))
    follow = VaultSettings(replica_deletions="follow")
    settings = replace(settings, regions={REGION: region}, vault=follow)

    def bring_up_to_date(server: Server) -> None:
        if by == "command":
            assert replicate(settings) == 0
            return
        with server.mooring.backend.catalog.write() as transaction:
            assert enqueue(transaction, server.mooring.backend, ReplicateVault(), REGION)
        server.settle()

    with running(settings) as server:
        server.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)
        server.settle()
        for name in ("lost", "deleted"):
            server.call("CreateDiskSnapshot", diskName="data", diskSnapshotName=name)
            server.settle()
        with server.mooring.backend.catalog.read() as transaction:
            made = {one.name: one.id for one in transaction.snapshots.all()}
        bring_up_to_date(server)
        roots = tmp_path / "copy" / "roots"
        assert {one.name for one in roots.iterdir()} == {"one", "two", *made.values()}

        (tmp_path / "vault" / "roots" / made["lost"]).unlink()
        server.call("DeleteDiskSnapshot", diskSnapshotName="deleted")
        server.settle()
        bring_up_to_date(server)
        assert {one.name for one in roots.iterdir()} == {"one", "two", made["lost"]}

        # Somebody has given it up.
        server.call("DeleteDiskSnapshot", diskSnapshotName="lost")
        server.settle()
        bring_up_to_date(server)
        assert {one.name for one in roots.iterdir()} == {"one", "two"}


def test_damage_is_told(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vault" / "roots" / "two").write_bytes(b"nothing like a root")

    assert replicate(settings, to=str(tmp_path / "copy")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("NOT copied: two: the root of snapshot two is damaged")
    assert lines[-1].endswith("is incomplete")


def test_places_that_are_none(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a").write_text("not ours")
    region = replace(settings.regions[REGION], replica=str(tmp_path / "notes"))
    told = dict(vault_findings(replace(settings, regions={REGION: region})))
    assert "is no vault, and not empty" in told[False]
    with pytest.raises(ConfigurationError, match="is the vault itself"):
        replicate(settings, to=str(tmp_path / "." / "vault"))
    with pytest.raises(VaultError, match="not empty: choose an empty place"):
        replicate(settings, to=str(tmp_path / "notes"))
    two = {REGION: settings.regions[REGION], "us-west-2": Region([f"{ZONE}x"], settings.data)}
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(ConfigurationError, match="one place holds one copy: name the region"):
        replicate(replace(settings, regions=two), to=str(tmp_path / "copy"))


def test_no_copy_is_made_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replicate", "--data", str(tmp_path / "data"), "--to", str(tmp_path / "copy")]
    assert main(command) == 2
    assert "there is no vault yet" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
