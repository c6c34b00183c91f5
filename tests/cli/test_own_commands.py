"""The table of Mooring's own commands holds together: parser, help, completion and page."""

from __future__ import annotations

import importlib
import inspect
import sys

import pytest

from mooring.cli.own.facts import KINDS
from mooring.cli.own.table import OWN_COMMANDS
from mooring.cli.own.wait import WAITERS
from mooring.shells import SHELLS
from tests.cli.conftest import Run
from tests.cli.test_completion import complete
from tools import list_commands
from tools.generated_page import write_or_check

WITH_PAGES = [name for name, one in OWN_COMMANDS.items() if one.text]


@pytest.mark.parametrize("name", OWN_COMMANDS)
def test_what_runs_each_is_there(name: str) -> None:
    module, function = OWN_COMMANDS[name].function
    called = getattr(importlib.import_module(f"mooring.cli.own.{module}"), function)

    assert len(inspect.signature(called).parameters) == 2


def test_words_and_options_that_decide_what_is_done_are_those_of_the_table() -> None:
    assert OWN_COMMANDS["wait"].choices.keys() == WAITERS.keys()
    assert OWN_COMMANDS["completion"].choices.keys() == set(SHELLS)
    assert [*KINDS, "--json"] == [one.name for one in OWN_COMMANDS["stat"].options]


@pytest.mark.parametrize("name", WITH_PAGES)
def test_help_and_completion_have_all_that_is_parsed(name: str, bare: Run) -> None:
    command = OWN_COMMANDS[name]
    shown = bare(name, "help").stdout

    for one in command.options:
        assert one.term in shown
    offered = complete(bare, name, "")
    assert offered == command.completions()
    assert {one.name for one in command.options if one.is_named} <= set(offered)


@pytest.mark.parametrize("name", [name for name in WITH_PAGES if OWN_COMMANDS[name].choices])
def test_a_first_word_that_is_none_is_refused(name: str, bare: Run) -> None:
    result = bare(name, "nothing")

    assert result.status == 2
    for choice in OWN_COMMANDS[name].choices:
        assert choice in result.stderr


def test_what_excludes_each_other_is_named_as_options(bare: Run) -> None:
    words = ("--disk-name", "data", "--disk-snapshot-name", "then")
    result = bare("revert", *words, "--discard", "--kept-snapshot-name", "kept")

    assert result.status == 255
    assert "--kept-snapshot-name and --discard exclude each other" in result.stderr


@pytest.mark.parametrize("name", [name for name in WITH_PAGES if name != "cp"])
def test_options_that_a_command_does_not_have_are_refused(name: str, bare: Run) -> None:
    command = OWN_COMMANDS[name]
    words = [name]
    first = next(iter(command.choices.items()), None)
    if first is not None:
        words.append(first[0])
    for one in (*(first[1] if first else ()), *command.options):
        if one.required:
            words += [one.name, "1"] if one.is_named else ["1"]
    result = bare(*words, "--no-such-option")

    assert result.status != 0
    assert "Unknown options: --no-such-option" in result.stderr


def test_an_output_that_is_a_file_has_no_formats_to_complete(bare: Run) -> None:
    assert "text" in complete(bare, "get-disks", "--output", "")
    assert "text" not in complete(bare, "export", "--output", "")


def test_the_page_is_what_the_tool_makes_of_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["list_commands", "--check"])
    checked = write_or_check(list_commands.TARGET, list_commands.page(), "list_commands", None)

    assert checked == 0, capsys.readouterr().err
