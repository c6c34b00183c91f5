"""Words and names that are nearly right: what was meant is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.admin.main import main as operator
from tests.cli.conftest import Run, scripted
from tests.cli.recording_server import RecordingServer, Scripted

NOT_FOUND = Scripted(
    404, b'{"__type": "NotFoundException", "message": "The DiskSnapshot does not exist: data"}'
)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("snapshot", "create-disk-snapshot"),
        ("disks", "get-disks"),
        ("restore", "create-disk-from-snapshot"),
        ("get-disk-snapshott", "get-disk-snapshot"),
    ],
)
def test_a_command_from_elsewhere(bare: Run, word: str, meant: str) -> None:
    result = bare(word)

    assert result.status == 2
    assert f"\n  * {meant}\n" in result.stderr


def test_a_word_that_is_near_nothing(bare: Run) -> None:
    assert "is not a command" not in bare("frobnicate").stderr


@pytest.mark.parametrize(("word", "meant"), [("colect", "collect"), ("docter", "doctor")])
def test_an_operators_command(capsys: pytest.CaptureFixture[str], word: str, meant: str) -> None:
    with pytest.raises(SystemExit) as left:
        operator([word])

    told = capsys.readouterr().err
    assert left.value.code == 2
    assert f"there is no command {word}; did you mean `mooringd {meant}`?" in told
    assert "serve-snapshots" not in told


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["collect", "--data", ""], "--data"),
        (["serve", "--config="], "--config"),
        (["verify", "--snapshot", ""], "--snapshot"),
        (["accept", "--region", ""], "--region"),
        (["export", "--snapshot", "s1", "--output", ""], "--output"),
        (["keys", "delete", ""], "USER"),
    ],
)
def test_an_operators_value_that_is_empty(
    capsys: pytest.CaptureFixture[str], words: list[str], option: str
) -> None:
    with pytest.raises(SystemExit) as left:
        operator(words)

    assert left.value.code == 2
    assert f"argument {option}: the value is empty" in capsys.readouterr().err


def test_a_file_that_is_missing_is_not_taken_for_the_data_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert operator(["env", "--config", str(tmp_path / "nowhere.toml")]) == 2
    assert "--data" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [["ls", "data:/"], ["cp", "data:/a", "b"]])
def test_a_disk_where_a_snapshot_belongs(
    mooring: Run, server: RecordingServer, command: list[str]
) -> None:
    snapshots = [
        {"name": "old", "fromDiskName": "data", "state": "completed", "createdAt": 1.0},
        {"name": "new", "fromDiskName": "data", "state": "completed", "createdAt": 2.0},
        {"name": "half", "fromDiskName": "data", "state": "pending", "createdAt": 3.0},
        {"name": "other", "fromDiskName": "logs", "state": "completed", "createdAt": 4.0},
    ]
    automatic = [
        {"date": "2026-11-26", "createdAt": 7.0, "status": "Failed", "fromAttachedDisks": []},
        {"date": "2026-11-25", "createdAt": 6.0, "status": "Success", "fromAttachedDisks": []},
    ]
    disk, autos = {"disk": {"name": "data"}}, {"autoSnapshots": automatic}
    scripted(server, NOT_FOUND, disk, {"diskSnapshots": snapshots}, autos)
    result = mooring(*command)

    assert result.status == 255
    assert result.stderr.endswith(
        "The DiskSnapshot does not exist: data\n"
        "data is a disk. Name one of its snapshots; the newest:\n  new\n  old\n"
        "  data@2026-11-25\n"
    )


def test_a_disk_without_snapshots(mooring: Run, server: RecordingServer) -> None:
    disk = {"disk": {"name": "data"}}
    scripted(server, NOT_FOUND, disk, {"diskSnapshots": []}, {"autoSnapshots": []})

    assert "data is a disk, and has no snapshot yet" in mooring("ls", "data:/").stderr


def test_what_is_neither_is_told_as_before(mooring: Run, server: RecordingServer) -> None:
    scripted(server, NOT_FOUND)

    assert mooring("ls", "data:/").stderr.endswith("The DiskSnapshot does not exist: data\n")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["ls", ":/"], ":/ names no snapshot before the colon: SNAPSHOT:PATH."),
        (["ls", ""], "Name a snapshot: SNAPSHOT:PATH, or --disk-snapshot-name."),
        (["ls", "--disk-snapshot-name", ""], "--disk-snapshot-name is empty"),
        (["cp", ":/etc/hosts", "."], ":/etc/hosts names no snapshot before the colon"),
        (["export", "--disk-snapshot-name", ""], "--disk-snapshot-name is empty"),
        (["export", "--disk-snapshot-name", "s1", "--output", ""], "--output is empty"),
        (["uri", "--disk-name", ""], "--disk-name is empty"),
        (["device", "--disk-name="], "--disk-name is empty"),
        (["stat", "--disk-name", ""], "--disk-name is empty"),
        (["diff", "--to", "s1", "--from", ""], "--from is empty"),
        (["wait", "disk-filled", "--disk-name", ""], "--disk-name is empty"),
        (["import", "x", "--format", "raw", "--disk-snapshot-name", ""], "name is empty"),
    ],
)
def test_what_names_nothing_is_told_as_it_was_typed(
    bare: Run, command: list[str], told: str
) -> None:
    result = bare(*command)

    assert result.status != 0
    assert told in result.stderr
    assert "diskSnapshotName" not in result.stderr
