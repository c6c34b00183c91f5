"""mooringd completion: makes shells complete its commands and options."""

from __future__ import annotations

import argparse
import sys

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings
from mooring.shells import SHELLS, completion_script

WORDS = "words"
"""What the scripts say to ask for the words that may stand at a place."""


def add_completion(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Add `completion` to the commands, which are those of the parser."""
    one = commands.add_parser("completion", help="print a script that makes a shell complete these")
    one.add_argument("shell", choices=(*SHELLS, WORDS), metavar="|".join(SHELLS))
    one.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    one.set_defaults(run=complete, config=None, data=None, parser=parser)


def complete(_settings: Settings, options: argparse.Namespace) -> int:
    """Run the command; the exit code is returned."""
    if options.shell == WORDS:
        found = candidates(options.parser, int(options.rest[0]), options.rest[1:])
        sys.stdout.writelines(f"{word}\n" for word in found)
    else:
        sys.stdout.write(completion_script(options.shell, "mooringd"))
    return 0


def subcommands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """The commands for people, each with its parser and what its help says of it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {one.dest: one.help or "" for one in action._choices_actions}
            return {name: (one, told[name]) for name, one in action.choices.items() if name in told}
    return {}


def candidates(parser: argparse.ArgumentParser, index: int, words: list[str]) -> list[str]:
    """What may stand at this place of the command line; words[0] is the program's own name."""
    current = words[index] if index < len(words) else ""
    for word in words[1:index]:
        if word in subcommands(parser):
            parser = subcommands(parser)[word][0]
    options = [one for one in parser._actions if one.help != argparse.SUPPRESS]
    before = words[index - 1]
    taking = next((one for one in options if before in one.option_strings), None)
    if taking is not None and taking.nargs != 0:
        found = [str(choice) for choice in taking.choices or ()]
    else:
        found = list(subcommands(parser))
        for option in options:
            if not option.option_strings and not isinstance(option.choices, dict):
                found += [choice for choice in option.choices or () if choice != WORDS]
            found += option.option_strings
    return [word for word in found if word.startswith(current)]
