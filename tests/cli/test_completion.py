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
        eval "$(PROGRAM completion bash)"
        COMP_WORDS=(PROGRAM BEGUN) COMP_CWORD=1
        _PROGRAM
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { :; }
        compadd() { printf '%s\\n' "${(M)words_found[@]:#${words[CURRENT]}*}"; }
        eval "$(PROGRAM completion zsh)"
        words=(PROGRAM BEGUN) CURRENT=2
        _PROGRAM
    """,
    # As the file of a function that is loaded when it is first called.
    "zsh loading": """
        compdef() { exit 1; }
        compadd() { printf '%s\\n' "${(M)words_found[@]:#${words[CURRENT]}*}"; }
        PROGRAM completion zsh > $HOME/_PROGRAM
        fpath=($HOME)
        autoload -U _PROGRAM
        words=(PROGRAM BEGUN) CURRENT=2
        _PROGRAM
    """,
    "fish": """
        PROGRAM completion fish | source
        complete --do-complete 'PROGRAM BEGUN'
    """,
}
COMPLETED = {
    ("mooring", "create-disk-"): ["create-disk-from-snapshot", "create-disk-snapshot"],
    ("mooringd", "re"): ["recover", "rekey", "replicate", "restore-catalog", "restore-host"],
}


@pytest.mark.full
@pytest.mark.parametrize(("program", "begun"), COMPLETED)
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(name, marks=pytest.mark.requires(name.partition(" ")[0]))
        for name in COMMANDS_OF_SHELLS
    ],
)
def test_shells_complete(way: str, program: str, begun: str, home: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    commands = COMMANDS_OF_SHELLS[way].replace("PROGRAM", program).replace("BEGUN", begun)
    result = subprocess.run(
        [way.partition(" ")[0], "-c", commands],
        env={"PATH": path, "HOME": str(home), "MOORING_DATA": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert sorted(result.stdout.split()) == COMPLETED[program, begun]
    assert not result.stderr
