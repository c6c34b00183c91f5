"""`mooringd doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.health.doctor import doctor
from mooring.admin.serving.serve import serve
from mooring.config.settings import EngineSettings, Listen, Settings
from mooring.host import room
from mooring.model.errors import ConfigurationError, ServerRunningError
from mooring.model.resources.disk import DiskState
from mooring.wiring.build_server import build_server
from tests.catalog.values import disk

pytestmark = pytest.mark.requires("qemu-storage-daemon", "qemu-img")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path / "data"), engine=EngineSettings(kind="memory"))


@pytest.fixture
def used(settings: Settings) -> Settings:
    """A data directory that a server has been on, with a disk."""
    mooring = build_server(settings)
    try:
        mooring.start()
        with mooring.backend.catalog.write() as transaction:
            transaction.disks.add(disk("data", state=DiskState.ERROR))
    finally:
        mooring.stop()
    return settings


def examine(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = doctor(settings)
    lines = capsys.readouterr().out.splitlines()
    assert code == int(any(line.startswith("BAD ") for line in lines))
    return code, lines


def bad(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    code, lines = examine(settings, capsys)
    assert code == 1
    (line,) = [line for line in lines if line.startswith("BAD ")]
    return line


def test_a_fresh_host(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = examine(settings, capsys)

    assert code == 0
    assert any("not there yet; `mooringd serve` creates it" in line for line in lines)
    assert not settings.data_directory.exists()


def test_a_disk_that_could_not_be_made(used: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    text = "disk data in us-east-2a: could not be made; delete it with delete-disk"
    assert bad(used, capsys) == f"BAD  {text}"


def test_a_disk_whose_data_is_gone(used: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    mooring = build_server(used)
    with mooring.backend.catalog.write() as transaction:
        transaction.disks.change("id-data", state=DiskState.AVAILABLE)
    mooring.stop()

    told = "disk data in us-east-2a: disk id-data does not exist"
    way_out = "no snapshot of the disk is stored: put the file back from a copy"
    assert bad(used, capsys) == f"BAD  {told}; {way_out}"


def test_a_server_that_runs(used: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    mooring = build_server(used)
    try:
        assert "a server runs, but cannot be asked about its disks" in bad(used, capsys)
    finally:
        mooring.stop()


def test_no_two_servers_on_one_directory(settings: Settings) -> None:
    mooring = build_server(settings)
    try:
        with pytest.raises(ServerRunningError, match=r"process \d+.*stop it, or name another"):
            build_server(settings)
    finally:
        mooring.stop()
    build_server(settings).stop()


def test_keys_that_others_can_read(used: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    (used.data_directory / "credentials").chmod(0o644)

    assert "chmod 600" in bad(used, capsys)


def test_a_damaged_catalog(used: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for file in used.data_directory.glob("catalog.sqlite*"):
        file.write_bytes(b"no database at all, whatever its name may say\n" * 100)

    assert "catalog.sqlite cannot be used" in bad(used, capsys)


def test_a_catalog_that_is_none(used: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert "catalog must be the URL" in bad(replace(used, catalog="nowhere"), capsys)


def test_little_room(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_server(settings).stop()
    monkeypatch.setattr(room, "SHORT", 1.1)
    monkeypatch.setattr(room, "PLENTY_BYTES", 1 << 62)

    code, lines = examine(settings, capsys)

    assert code == 1
    wrong = [line for line in lines if line.startswith("BAD ")]
    assert wrong[0].startswith(f"BAD  data directory: {settings.data}: ")
    assert wrong[0].endswith("free some space, or writes and snapshots will fail")
    # The run directory is told apart where it is another file system.
    vaults = [line for line in wrong[1:] if not line.startswith("BAD  run directory: ")]
    assert all(line.endswith("free some space, or snapshots will fail") for line in vaults)


def test_tools_that_are_missing(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    code, lines = examine(settings, capsys)

    assert code == 1
    for tool in ("qemu-storage-daemon", "qemu-img"):
        (line,) = [line for line in lines if line.startswith(f"BAD  {tool}")]
        assert "apt-get install" in line


@pytest.mark.parametrize(("port", "why"), [(70000, "0 to 65535"), (-1, "0 to 65535")])
def test_a_port_that_is_none(settings: Settings, port: int, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        serve(settings, port=port)


def test_an_address_that_is_not_ours(settings: Settings) -> None:
    there = replace(settings, listen=Listen(host="192.0.2.1"))
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1 port 8470"):
        serve(there)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("qemu-storage-daemon version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22"),
        ("qemu-storage-daemon version 10.0.11 (Debian 1:10.0.11+ds-1)", None),
        ("something else", None),
    ],
)
def test_whether_trims_give_room_back(
    says: str,
    told: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool = tmp_path / "tools" / "qemu-storage-daemon"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho '{says}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    _, lines = examine(Settings(data=str(tmp_path / "data")), capsys)

    found = [line for line in lines if line.startswith("ok   trims ")]
    if told is None:
        assert found == []
    else:
        (line,) = found
        assert f"are ignored by this QEMU ({told})" in line
        assert "fallocate --zero-range, blkdiscard --zeroout" in line
