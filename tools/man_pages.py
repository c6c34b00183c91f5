"""Make the manual pages of both programs from their help.

Run `python -m tools.man_pages FOLDER`: it writes mooring.1, one page for each of its commands, and
mooringd.8. Needs the standard library alone, and src in PYTHONPATH.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from mooring.admin.completion import subcommands
from mooring.admin.main import DESCRIPTION, _parser
from mooring.cli.help import pages
from mooring.cli.input.names import command_names, operation_name
from mooring.cli.own import running
from mooring.cli.own.table import OWN_COMMANDS
from mooring.protocol import service_model
from mooring.version import VERSION

_BODY = 7
"""How far the help indents a section."""

_AS_IT_IS = ("SYNOPSIS", "EXAMPLES", "OUTPUT")
"""Sections whose lines are not to be filled."""


def escaped(text: str) -> str:
    """The text for troff, none of which is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def head(name: str, section: int) -> str:
    manual = "User Commands" if section == 1 else "System Administration"
    return f'.TH {name.upper()} {section} "" "Mooring {VERSION}" "{manual}"'


def from_help(name: str, text: str) -> str:
    """The manual page of a page of `mooring`'s help."""
    lines = [head(name, 1)]
    heading = ""
    for section in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        if not section:
            continue
        heading, _, body = section.partition("\n")
        lines.append(f".SH {heading}")
        rows = [line.rstrip() for line in body.rstrip("\n").split("\n")]
        if heading == "NAME":
            # One name, and for what man(1) lists the short form.
            command, _, told = " ".join(row.strip() for row in rows).strip().partition(" - ")
            lines.append(f"{escaped(command.replace(' ', '-'))} \\- {escaped(told)}")
        elif heading in _AS_IT_IS:
            lines += [".nf", *(escaped(row[_BODY:]) for row in rows), ".fi"]
        elif heading.endswith("COMMANDS"):
            lines += _columns(rows)
        else:
            lines += _paragraphs(rows, terms=heading == "OPTIONS")
    return "\n".join(lines) + "\n"


def _columns(rows: Iterable[str]) -> Iterator[str]:
    """Names with texts beside them."""
    for row in rows:
        name, _, told = row[_BODY:].partition("  ")
        if name:
            yield from (".TP", f".B {escaped(name)}")
        if told.strip():
            yield escaped(told.strip())


def _paragraphs(rows: Iterable[str], *, terms: bool) -> Iterator[str]:
    """Paragraphs; with `terms` options, too, with texts below them."""
    before = ""
    for row in rows:
        if not row:
            before = ""
            continue
        indent = len(row) - len(row.lstrip())
        if terms and indent == _BODY and row.lstrip().startswith("-"):
            yield from (".TP", f".B {escaped(row.strip())}")
        elif not before:
            yield from (".PP", escaped(row.strip()))
        else:
            yield escaped(row.strip())
        before = row


def user_pages() -> Iterator[tuple[str, str]]:
    """The names and texts of `mooring`'s pages."""
    model = service_model.load()
    summaries = {name: one.summary for name, one in OWN_COMMANDS.items()}
    yield "mooring", _caught(partial(pages.show_overview, summaries))
    for command in command_names(model.operations):
        operation = model.operations[operation_name(command)]
        yield f"mooring-{command}", _caught(partial(pages.show_operation, model, operation))
    for command, own in OWN_COMMANDS.items():
        if own.text:
            yield f"mooring-{command}", _caught(partial(running.run, command, ["help"], None))


def _caught(show: Callable[[], int]) -> str:
    """What it writes."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        show()
    return output.getvalue()


def operator_page() -> str:
    """The manual page of `mooringd`."""
    parser = _parser()
    lines = [head("mooringd", 8), ".SH NAME", "mooringd \\- the server of Mooring"]
    lines += [".SH SYNOPSIS", ".B mooringd", ".I COMMAND", "[options]"]
    lines += [".SH DESCRIPTION", escaped(DESCRIPTION)]
    lines += [
        ".PP",
        escaped("Exit codes: 0 all is well, 1 something is damaged or wrong, 2 the command could"),
        escaped("not do what was asked."),
        ".SH COMMANDS",
    ]
    for name, (one, told) in subcommands(parser).items():
        lines += [f".SS {escaped(name)}", escaped(told), *_options(one)]
        for action, (deeper, more) in subcommands(one).items():
            lines += [".PP", f".B {escaped(f'{name} {action}')}", ".br", escaped(more)]
            lines += _options(deeper)
    lines += [".SH FILES", ".TP", ".I /etc/mooring/mooring.toml"]
    lines += ["the settings of the service that Debian's package installs"]
    lines += [".TP", ".I /var/lib/mooring", "its data directory"]
    lines += [".SH SEE ALSO", ".BR mooring (1),", ".BR qemu\\-storage\\-daemon (1)"]
    return "\n".join(lines) + "\n"


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        if isinstance(action, argparse._HelpAction):
            continue
        name = ", ".join(action.option_strings)
        value = "" if action.nargs == 0 else str(action.metavar or "|".join(action.choices or ()))
        value = value or ("" if action.nargs == 0 else action.dest.upper())
        yield from (".TP", f".B {escaped(f'{name} {value}'.strip())}")
        yield escaped((action.help or "").replace("%(default)s", str(action.default)) or "required")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in user_pages():
        (folder / f"{name}.1").write_text(from_help(name, text), encoding="utf-8")
    (folder / "mooringd.8").write_text(operator_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
