"""`mooringd verify`, `collect` and `usage`, beside a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.admin.vaults.collect import collect
from mooring.admin.vaults.usage import usage
from mooring.admin.vaults.verify import verify
from mooring.config.settings import Settings
from mooring.model.amounts import amount
from mooring.model.errors import ConfigurationError, VaultError
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES
from mooring.wiring.vaults import open_vault
from tests.admin.servers import REGION, blocks, running, settings_at, store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A vault with two snapshots of a disk, of which the second replaced half, and another disk."""
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "one", blocks(1, 2 * FRAME_BLOCKS), name="monday")
    store(made, "two", blocks(4, FRAME_BLOCKS) + blocks(2, 1), name="tuesday", parent="one")
    store(made, "other", blocks(3, 10), name="alone", disk_name="logs", disk_id="disk-2")
    return made


def damage(tmp_path: Path, snapshot: str, settings: Settings) -> None:
    """Flip a bit in the first frame of a snapshot."""
    vault = open_vault(settings, REGION)
    assert vault is not None
    with vault, vault.open(snapshot) as reader:
        (key,) = reader._map.keys(0, 1)
        name = f"{key[0].hex()}"
    path = tmp_path / "vault" / "segments" / name[:2] / name
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_sound_vault(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with running(settings):
        assert verify(settings) == 0
        assert verify(settings, percent=10) == 0
        assert verify(settings, disk="logs") == 0
        assert verify(settings, snapshot="tuesday") == 0
    assert [line for line in lines(capsys) if "this catalog does not know" not in line] == [
        "us-east-2: 3 snapshots, all data read back: no damage",
        "us-east-2: 3 snapshots, 10 % of the data read back: no damage",
        "us-east-2: 1 snapshot, all data read back: no damage",
        "us-east-2: 1 snapshot, all data read back: no damage",
    ]


def test_damage_is_told_as_snapshots_and_ranges(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(tmp_path, "one", settings)

    assert verify(settings) == 1
    said = lines(capsys)
    assert said[0] == "DAMAGED snapshot monday of disk data (one)"
    assert said[1] == f"  bytes 0 to {FRAME_BYTES - 1}"
    assert "its stored bytes have another digest" in said[2]
    assert said[-1] == "us-east-2: 3 snapshots, all data read back: 1 damaged"
    assert verify(settings, disk="logs") == 0
    assert verify(settings, snapshot="two") == 0
    assert verify(settings, snapshot="one") == 1


def test_a_root_that_cannot_be_read(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vault" / "roots" / "two").write_bytes(b"nothing like a root")

    assert verify(settings) == 1
    said = lines(capsys)
    assert said[:2] == ["DAMAGED snapshot (two)", "  all of it"]
    assert "the root of snapshot two is damaged" in said[2]
    assert verify(settings, snapshot="two") == 1
    assert verify(settings, disk="data") == 0


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.1])
def test_a_sample_that_is_none(settings: Settings, percent: float) -> None:
    with pytest.raises(ConfigurationError, match="--sample must be more than 0"):
        verify(settings, percent=percent)


def test_what_no_vault_has(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no vault has a disk nothing"):
        verify(settings, disk="nothing")
    with pytest.raises(ConfigurationError, match="there is no region eu-west-1; known here"):
        verify(settings, region="eu-west-1")


def test_no_vault_is_made_by_looking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "nothing"
    for command in ("verify", "collect", "usage", "recover"):
        assert main([command, "--data", str(data)]) == 2
        assert "there is no vault yet" in capsys.readouterr().err
    assert not data.exists()


def test_a_directory_that_is_no_vault(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    settings = settings_at(tmp_path / "data", tmp_path / "vault")

    with pytest.raises(ConfigurationError, match="there is no vault yet"):
        verify(settings)
    assert list((tmp_path / "vault").iterdir()) == []
    (tmp_path / "vault" / "letters").touch()
    with pytest.raises(VaultError, match="its object 'vault' is missing"):
        verify(settings)
    assert [one.name for one in (tmp_path / "vault").iterdir()] == ["letters"]


def test_collecting_frees_what_the_dry_run_said(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = open_vault(settings, REGION)
    assert vault is not None
    with vault, running(settings):
        vault.delete("other")
        before = sorted((tmp_path / "vault" / "segments").rglob("*"))
        assert collect(settings, dry_run=True) == 0
        assert sorted((tmp_path / "vault" / "segments").rglob("*")) == before
        assert collect(settings) == 0
        assert collect(settings) == 0
    would, did, nothing = lines(capsys)
    assert "would be freed (1 segment would be deleted, 0 thinned out, 2 kept)" in would
    assert did == would.replace("would be ", "")
    assert nothing == "us-east-2: 0 bytes freed (0 segments deleted, 0 thinned out, 2 kept)"


def test_usage_lists_snapshots_by_disk_and_age(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings):
        assert usage(settings) == 0
    said = lines(capsys)
    assert said[0] == "us-east-2: 3 snapshots; full copies: 2.0 MiB"
    cells = [line.split() for line in said[1:]]
    assert cells[0] == ["SNAPSHOT", "DISK", "SIZE", "ALONE", "SHARED", "FULL", "COPY"]
    assert [row[:4] for row in cells[1:]] == [
        ["monday", "data", "8.0", "GiB"],
        ["tuesday", "data", "8.0", "GiB"],
        ["alone", "logs", "8.0", "GiB"],
    ]
    assert len({len(line) for line in said[1:]}) == 1


def test_usage_as_json(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--data", settings.data, "--json"]) == 2
    capsys.readouterr()
    assert usage(settings, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)[REGION]
    rows = told["snapshots"]
    assert [row["id"] for row in rows] == ["one", "two", "other"]
    full = [row["fullCopyBytes"] for row in rows]
    assert full == [2 * FRAME_BYTES, 2 * FRAME_BYTES, 10 * 4096]
    assert told["fullCopyBytes"] == sum(full)
    assert told["aloneBytes"] == sum(row["aloneBytes"] for row in rows)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 60, "3072.0 PiB")],
)
def test_amounts(size: int, text: str) -> None:
    assert amount(size) == text
