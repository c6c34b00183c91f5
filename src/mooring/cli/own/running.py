"""Runs a command of Mooring's own, or shows its page."""

from __future__ import annotations

import importlib

from mooring.cli.help import pages as help_pages
from mooring.cli.input import parser
from mooring.cli.own.table import OWN_COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from mooring.cli.own.command import Command
    from mooring.cli.own.invocation import Invocation


def run(name: str, rest: list[str], invocation: Invocation | None) -> int:
    """Run the command with the words in `rest`; the exit code is returned.

    Those that ask no server need no invocation.
    """
    command = OWN_COMMANDS[name]
    asks_help = rest[-1] in help_pages.WORDS if rest else command.helps_alone
    if asks_help and command.text:
        return help_pages.show_own(
            name,
            command.summary,
            command.synopsis(name),
            command.text,
            {one.term: one.help for one in command.options if one.help},
        )
    module, function = command.function
    parsed = _parsed(command, rest)
    called = getattr(importlib.import_module(f"mooring.cli.own.{module}"), function)
    status: int = called(invocation, parsed)
    return status


def _parsed(command: Command, rest: list[str]) -> Namespace:
    """Raises CommandError of kind `usage`."""
    options = command.options
    choice = None
    if command.choices:
        choice, rest = parser.take_command(rest, command.choices)
        options = (*command.choices[choice], *options)
    words = parser.Parser()
    for one in options:
        if not one.is_named:
            words.add_argument(one.name, nargs=one.count)
            continue
        names = [one.name, one.spelled] if one.spelled else [one.name]
        if one.value:
            words.add_argument(
                *names,
                dest=one.stored,
                required=one.required,
                default=one.default,
                type=one.reads,
                nargs=one.count,
            )
        else:
            words.add_argument(*names, dest=one.stored, action="store_true")
    parsed = words.parse_all(rest)
    parsed.choice = choice
    return parsed
