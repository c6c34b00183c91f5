"""The pages of help are complete, and what they show works."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mooring.cli.help.texts import INPUT_OPTIONS, MEMBERS, OPERATIONS, examples
from mooring.cli.input.names import NOT_COMMANDS, command_name
from mooring.cli.own.table import OWN_COMMANDS
from mooring.protocol import service_model
from tests.cli.conftest import Run
from tests.cli.recording_server import RecordingServer

MODEL = service_model.load()
COMMANDS = [name for name in MODEL.operations if name not in NOT_COMMANDS]


def input_members(shape_name: str, seen: set[str]) -> set[str]:
    shape = MODEL.shape(shape_name)
    if shape_name in seen:
        return set()
    inner = {*shape.members.values(), *filter(None, [shape.member, shape.value])}
    found = set(shape.members)
    for name in inner:
        found |= input_members(name, seen | {shape_name})
    return found


def fits(page: str) -> bool:
    """Whether a terminal of 80 columns shows it as it is."""
    return max(map(len, page.splitlines())) <= 80


def test_every_operation_and_every_option_is_described() -> None:
    members: set[str] = set()
    for operation in MODEL.operations.values():
        members |= set(MODEL.shape(operation.input).members)

    assert set(OPERATIONS) == set(MODEL.operations)
    assert members <= set(MEMBERS)
    assert all(text.endswith(".") or "key=" in text for text in MEMBERS.values())


def test_nothing_is_described_that_does_not_exist() -> None:
    known: set[str] = set()
    for operation in MODEL.operations.values():
        known |= input_members(operation.input, set())

    assert set(MEMBERS) <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_each_page_has_its_parts(name: str, bare: Run) -> None:
    page = bare(command_name(name), "help").stdout

    for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "OUTPUT"):
        assert f"\n{part}\n" in f"\n{page}"
    assert page == bare(command_name(name), "--help").stdout
    assert fits(page.partition("\nEXAMPLES")[0])


@pytest.mark.parametrize("name", COMMANDS)
def test_each_example_works_when_pasted(
    name: str, mooring: Run, server: RecordingServer, home: Path
) -> None:
    (home / "snapshot.json").write_text('{"diskSnapshotName": "s"}')
    for _, example in examples(name, command_name(name)):
        for line in example.split("\n"):
            words = shlex.split(re.sub(r"( > \S+)?  # .*", "", line))
            assert words[0] == "mooring"
            assert mooring(*words[1:]).status == 0


def test_the_overview_names_all_commands(bare: Run) -> None:
    page = bare("help").stdout

    for name in COMMANDS:
        assert f" {command_name(name)} " in page
    assert page == bare("--help").stdout
    assert fits(page)


def test_mooring_alone_is_twelve_lines(bare: Run) -> None:
    result = bare()

    assert result.status == 0
    assert len(result.stdout.splitlines()) == 12
    assert fits(result.stdout)


@pytest.mark.parametrize("command", [command for command in OWN_COMMANDS if command != "help"])
def test_own_commands_have_pages(command: str, bare: Run) -> None:
    result = bare(command, "help")

    assert result.status == 0
    assert f"mooring {command}" in result.stdout
    assert fits(result.stdout)


def test_operations_not_served_are_refused_by_name(bare: Run) -> None:
    result = bare("create-domain", "--domain-name", "x")

    assert result.status == 2
    assert "create-domain is an operation of Lightsail that Mooring does not serve" in result.stderr


def test_the_options_described_exist(bare: Run) -> None:
    pages = [bare(command_name(name), "help").stdout for name in COMMANDS]

    for option in INPUT_OPTIONS:
        assert any(option in page for page in pages)
    assert json.loads(bare("get-disk", "--generate-cli-skeleton").stdout) == {"diskName": ""}
