"""What shells complete."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.cli.conftest import Run, scripted
from tests.cli.recording_server import RecordingServer


def complete(run: Run, *words: str) -> list[str]:
    line = ["mooring", *words]
    return run("completion", "words", str(len(line) - 1), *line).stdout.splitlines()


def test_commands(bare: Run) -> None:
    assert complete(bare, "create-disk-") == ["create-disk-from-snapshot", "create-disk-snapshot"]


def test_options(bare: Run) -> None:
    assert complete(bare, "create-disk-snapshot", "--disk") == [
        "--disk-name",
        "--disk-snapshot-name",
    ]


def test_values(bare: Run) -> None:
    assert complete(bare, "get-disks", "--output", "t") == ["text", "table"]


def test_names_come_from_the_server(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disks": [{"name": "my-disk"}, {"name": "other"}]})

    assert complete(mooring, "get-disk", "--disk-name", "my") == ["my-disk"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_what_the_shells_understand(shell: str, bare: Run) -> None:
    result = bare("completion", shell)

    assert result.status == 0
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", "-c", result.stdout], check=True)
