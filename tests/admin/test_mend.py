"""`mooringd verify --mend`, from a copy and from images of disks."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.admin.vaults.mend import mend
from mooring.admin.vaults.replicate import replicate
from mooring.admin.vaults.verify import verify
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from tests.admin.servers import REGION, blocks, running, settings_at, store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A vault, a copy of it, and the disk as an image; then the vault is damaged."""
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "one", blocks(1, 256), name="monday")
    store(made, "two", blocks(1, 128) + blocks(2, 1), name="tuesday", parent="one")
    assert replicate(made, to=str(tmp_path / "copy")) == 0
    (tmp_path / "disk.raw").write_bytes(blocks(1, 256))
    (path, *_) = sorted(
        (tmp_path / "vault" / "segments").rglob("*/*"), key=lambda one: -one.stat().st_size
    )
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    return made


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_a_copy_that_is_named_or_known(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(settings) == 1
    (tmp_path / "vault" / "roots" / "two").write_bytes(b"no root")
    with running(settings):
        assert mend(settings, copies=[str(tmp_path / "copy")]) == 0
    assert said(capsys) == ("us-east-2: 1 root and 1 frame in 1 segment mended: no damage is left")
    assert verify(settings) == 0
    known = replace(settings.regions[REGION], replica=str(tmp_path / "copy"))
    assert mend(replace(settings, regions={REGION: known})) == 0
    assert said(capsys).startswith("us-east-2: 0 roots and 0 frames")


def test_an_image_of_the_disk(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mend(settings, images=[str(tmp_path / "disk.raw")]) == 0
    assert said(capsys).endswith("1 frame in 1 segment mended: no damage is left")
    assert verify(settings) == 0


@pytest.mark.full
@pytest.mark.requires("qemu-nbd")
def test_a_disk_that_is_served(settings: Settings, tmp_path: Path, run_dir: Path) -> None:
    socket = run_dir / "nbd.sock"
    command = ["qemu-nbd", "-f", "raw", "-t", "-k", str(socket), str(tmp_path / "disk.raw")]
    with subprocess.Popen(command) as process:
        try:
            while not socket.exists():
                assert process.poll() is None
                time.sleep(0.01)
            assert mend(settings, images=[f"nbd+unix:///?socket={socket}"]) == 0
        finally:
            process.terminate()
    assert verify(settings) == 0


def test_what_cannot_be_mended_is_told(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.raw").write_bytes(blocks(9, 256))

    assert mend(settings, images=[str(tmp_path / "other.raw")]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "DAMAGED snapshot monday of disk data (one)" in lines
    assert "  bytes 0 to 524287" in lines
    assert lines[-1].endswith("mended: still damaged: 2 snapshots")


def test_sources_that_are_none(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="there is nothing to mend from"):
        mend(settings)
    with pytest.raises(ConfigurationError, match=r"there is no copy of the vault in .*: mount it"):
        mend(settings, copies=[str(tmp_path / "nothing")])
    for image in (str(tmp_path / "nothing"), f"nbd+unix:///x?socket={tmp_path}/nothing"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            mend(settings, images=[image])
    arguments = ["verify", "--data", settings.data]
    assert main([*arguments, "--mend", "--sample", "3"]) == 2
    assert "--mend verifies everything" in capsys.readouterr().err
    assert main([*arguments, "--image", "x"]) == 2
    assert "give --mend too" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
