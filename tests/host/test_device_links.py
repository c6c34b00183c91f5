"""Links to block devices: they lead to the right one, or are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.host.devices.loop import DeviceLinks


def test_a_link_follows_its_disk(tmp_path: Path) -> None:
    links = DeviceLinks(tmp_path / "mooring")

    links.put("data", "/dev/loop-of-before")
    links.put("data", "/dev/loop-of-now")

    assert str((tmp_path / "mooring" / "data").readlink()) == "/dev/loop-of-now"
    links.remove("/dev/loop-of-before")
    assert (tmp_path / "mooring" / "data").is_symlink()
    links.remove("/dev/loop-of-now")
    assert not (tmp_path / "mooring").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../data", ".hidden", "a/b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    DeviceLinks(tmp_path / "mooring").put(name, "/dev/loop0")

    assert list(tmp_path.rglob("*")) == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    links = DeviceLinks(tmp_path / "file" / "mooring")

    links.put("data", "/dev/loop0")
    links.remove("/dev/loop0")


def test_what_else_is_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "mooring"
    folder.mkdir()
    (folder / "data").write_text("somebody's")
    (folder / "other").symlink_to("/dev/loop1")
    links = DeviceLinks(folder)

    links.put("data", "/dev/loop0")
    links.remove("/dev/loop0")

    assert (folder / "data").read_text() == "somebody's"
    assert (folder / "other").is_symlink()
