"""Make docs/own-commands.md: the commands that `aws lightsail` does not have.

Run `python -m tools.list_commands` after a change of src/mooring/cli/own/tables/; `--check` exits
1 when the page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mooring.cli.own.command import Command
from mooring.cli.own.table import OWN_COMMANDS
from tools.generated_page import write_or_check

TARGET = Path(__file__).parent.parent / "docs/own-commands.md"

HEAD = """\
# Mooring's own commands

What `mooring` has and `aws lightsail` lacks, with all options: the pages that
`mooring <command> help` shows. `tools/list_commands.py` generates this page from the program's own
table, `src/mooring/cli/own/tables/`; a test compares. [cli.md](cli.md) says what to do with them.
"""


def page() -> str:
    """The text of the page."""
    commands = {name: one for name, one in OWN_COMMANDS.items() if one.text}
    return "\n".join([HEAD, *(line for one in commands.items() for line in _command(*one))])


def _command(name: str, command: Command) -> Iterator[str]:
    yield f"## mooring {name}"
    yield ""
    yield command.summary
    yield ""
    yield from (f"    {form}" for form in command.synopsis(name))
    yield ""
    for paragraph in command.text:
        yield paragraph
        yield ""
    terms = [one for one in command.options if one.help]
    if terms:
        yield "| option | |"
        yield "| --- | --- |"
        yield from (f"| `{one.term}` | {one.help} |" for one in terms)
        yield ""


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, page(), "list_commands", __doc__))
