"""What shells complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_blueprints_are_named_by_their_ids(mooring: Run, server: RecordingServer) -> None:
    known = [{"blueprintId": "debian-13", "name": "debian-13"}, {"blueprintId": "wordpress"}]
    scripted(server, {"blueprints": known})

    assert complete(mooring, "delete-blueprint", "--blueprint-id", "d") == ["debian-13"]


COMMANDS_OF_SHELLS = {
    "bash": """
        eval "$(mooring completion bash)"
        COMP_WORDS=(mooring create-disk-) COMP_CWORD=1
        _mooring
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { :; }
        compadd() { printf '%s\\n' "${(M)words_found[@]:#${words[CURRENT]}*}"; }
        eval "$(mooring completion zsh)"
        words=(mooring create-disk-) CURRENT=2
        _mooring
    """,
    "fish": """
        mooring completion fish | source
        complete --do-complete 'mooring create-disk-'
    """,
}


@pytest.mark.full
@pytest.mark.parametrize(
    "shell",
    [pytest.param(name, marks=pytest.mark.requires(name)) for name in COMMANDS_OF_SHELLS],
)
def test_shells_complete(shell: str, home: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        [shell, "-c", COMMANDS_OF_SHELLS[shell]],
        env={"PATH": path, "HOME": str(home), "MOORING_DATA": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert result.stdout.split() == ["create-disk-from-snapshot", "create-disk-snapshot"]
    assert not result.stderr
