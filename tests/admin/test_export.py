"""`mooringd export` and `diff`: snapshots out of the vault."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.admin.vaults.diff import diff
from mooring.admin.vaults.export import export
from mooring.admin.vaults.verify import verify
from mooring.config.settings import Settings
from mooring.jobs.automatic.due import take_due
from mooring.model.errors import ConfigurationError, VaultError
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.vault.format.layout import FRAME_BLOCKS
from mooring.wiring.vaults import open_vault
from tests.admin.servers import REGION, ZONE, blocks, running, settings_at, store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "one", blocks(1, 2 * FRAME_BLOCKS), name="monday")
    store(made, "two", blocks(1, FRAME_BLOCKS) + blocks(2, 1), name="tuesday", parent="one")
    return made


HEAD = 2 * FRAME_BLOCKS * BLOCK_SIZE
"""All data lie within so many bytes; the disk has 8 GiB."""


def content(settings: Settings, snapshot: str) -> bytes:
    vault = open_vault(settings, REGION)
    assert vault is not None
    with vault, vault.open(snapshot) as reader:
        return bytes(reader.read(0, HEAD))


@pytest.mark.full
@pytest.mark.requires("qemu-img")
@pytest.mark.parametrize("image_format", ["raw", "qcow2", "vmdk"])
def test_export(
    image_format: str, settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output, back = tmp_path / "image", tmp_path / "back"

    words = ["export", "--snapshot", "tuesday", "--format", image_format, "--output", str(output)]
    place = ["--data", settings.data, "--config", str(config(settings, tmp_path))]
    assert main([*words, *place]) == 0

    assert "tuesday is in" in capfd.readouterr().out
    convert = ["qemu-img", "convert", "-f", image_format, "-O", "raw", str(output), str(back)]
    subprocess.run(convert, check=True)
    with back.open("rb") as file:
        assert file.read(HEAD) == content(settings, "two")
    assert back.stat().st_size == 8 * GIB
    assert back.stat().st_blocks * 512 <= HEAD
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("image_format", "problem"),
    [
        ("raw", "damaged"),
        pytest.param(
            "qcow2",
            "qemu-img convert failed",
            marks=[pytest.mark.full, pytest.mark.requires("qemu-img")],
        ),
    ],
)
def test_export_of_damage_leaves_nothing(
    image_format: str, problem: str, settings: Settings, tmp_path: Path
) -> None:
    for segment in (tmp_path / "vault" / "segments").rglob("*"):
        if segment.is_file():
            data = bytearray(segment.read_bytes())
            data[1000] ^= 1
            segment.write_bytes(data)

    output = tmp_path / "image"
    with pytest.raises(VaultError, match=problem):
        export(settings, snapshot="one", region=None, image_format=image_format, output=output)

    assert not list(tmp_path.glob("image*"))


def test_export_overwrites_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "image").write_text("precious")
    with pytest.raises(ConfigurationError, match="exists and was left as it is"):
        export(settings, snapshot="one", region=None, image_format="raw", output=tmp_path / "image")
    with pytest.raises(ConfigurationError, match="no vault has a snapshot friday"):
        export(settings, snapshot="friday", region=None, image_format="raw", output=tmp_path / "x")
    assert (tmp_path / "image").read_text() == "precious"


def test_diff(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(settings, snapshot="tuesday", since="monday", region=None) == 0
    told = json.loads(capsys.readouterr().out)
    old, new = content(settings, "one"), content(settings, "two")
    differing = {
        number
        for number in range(len(new) // BLOCK_SIZE)
        if old[number * BLOCK_SIZE :][:BLOCK_SIZE] != new[number * BLOCK_SIZE :][:BLOCK_SIZE]
    }
    told_of = {
        number
        for extent in told["extents"]
        for number in range(
            extent["offset"] // BLOCK_SIZE, (extent["offset"] + extent["length"]) // BLOCK_SIZE
        )
    }
    assert differing <= told_of
    assert told["changedBytes"] == len(told_of) * BLOCK_SIZE
    assert told["since"] == {"name": "monday", "id": "one"}
    assert len(told_of) < 2 * FRAME_BLOCKS

    assert diff(settings, snapshot="one", since=None, region=REGION) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["since"] is None
    assert told["extents"][0] == {"offset": 0, "length": told["changedBytes"], "zero": False}


def config(settings: Settings, folder: Path) -> Path:
    """The settings as a file, so far as the vault needs them."""
    file = folder / "mooring.toml"
    region = settings.regions[REGION]
    file.write_text(
        f'[regions.{REGION}]\nzones = {json.dumps(region.zones)}\nvault = "{region.vault}"\n'
    )
    return file


def test_automatic_ones_go_by_their_disk_and_moment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    with running(made) as server:
        server.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)
        server.settle()
        tag = {"key": "mooring:snapshots", "value": "every 5 minutes keep 1 day"}
        server.call("TagResource", resourceName="data", tags=[tag])
        catalog, backend = server.mooring.backend.catalog, server.mooring.backend
        for _ in range(2):
            with catalog.write() as transaction:
                ((disk_id, source),) = [
                    (run.resource_id, run.source) for run in transaction.auto_runs.due(2**50)
                ]
                transaction.auto_runs.move(disk_id, source, 0)
            assert take_due(backend) == 1
            server.settle()
        with catalog.read() as transaction:
            older, newer = (one.name for one in transaction.snapshots.auto_of_disk(disk_id))

    for wanted, name in {"data@latest": newer, newer: newer, older: older}.items():
        assert diff(made, snapshot=wanted, since=None, region=None) == 0
        assert json.loads(capsys.readouterr().out)["snapshot"]["name"] == name
    assert diff(made, snapshot="data@latest", since=older, region=None) == 0
    assert json.loads(capsys.readouterr().out)["since"]["name"] == older
    assert verify(made, snapshot="data@latest") == 0
    assert "1 snapshot, all data read back" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="no vault has a snapshot data@1999"):
        verify(made, snapshot="data@1999-12-31")
    for wrong, told in {
        "data@1999-12-31": f"The newest: {newer}",
        "data@monday": "latest, today, yesterday",
        "logs@latest": "no vault has a snapshot logs@latest",
    }.items():
        with pytest.raises(ConfigurationError, match=re.escape(told)):
            diff(made, snapshot=wrong, since=None, region=None)
