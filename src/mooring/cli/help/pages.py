"""The pages of help: the start, the overview, and one per command."""

from __future__ import annotations

import os
import sys
import textwrap

from mooring.cli.help.texts import (
    GLOBAL_OPTIONS,
    INPUT_OPTIONS,
    MEMBERS,
    OPERATIONS,
    examples,
)
from mooring.cli.input.names import NOT_COMMANDS, command_name, option_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.protocol.service_model import Operation, ServiceModel, Shape

_WIDTH = 78
_INDENT = " " * 7

START = """\
Mooring: disks on your own hosts, and instant snapshots of them.

  mooring create-disk --disk-name db --size-in-gb 8 \\
      --availability-zone us-east-2a
  mooring create-instances --instance-names vm1 --blueprint-id external \\
      --bundle-id nano_3_0 --availability-zone us-east-2a
  mooring attach-disk --disk-name db --instance-name vm1 --disk-path /dev/xvdf
  mooring uri --disk-name db                           where to use the disk
  mooring create-disk-snapshot --disk-name db --disk-snapshot-name first --wait
  mooring create-disk-snapshot help                    all about one command

No server yet? `mooringd serve` starts one here. All commands: mooring help
"""

_INTRODUCTION = (
    "mooring talks to a Mooring server. Its commands, options, output and exit codes are those of "
    "`aws lightsail`: what you know about that applies here, and scripts only need another command "
    "name."
)
_FINDING = [
    "--endpoint-url; else AWS_ENDPOINT_URL_LIGHTSAIL, AWS_ENDPOINT_URL, and the profile's "
    "`services` section or endpoint_url; else the server that runs on this host: it writes its "
    "address to server.json and its keys to credentials, in $MOORING_DATA or "
    "~/.local/share/mooring, else /var/lib/mooring (for root). A server found this way comes with "
    "its own region and keys, unless "
    "--region or --profile is given. Amazon's own endpoint is never used.",
]

WORDS = {"help", "--help", "-h"}
"""What asks for the page of a command of Mooring's own."""


def show_start() -> int:
    """What somebody sees who types `mooring` alone."""
    sys.stdout.write(START)
    return 0


def show_overview(own: dict[str, str]) -> int:
    """All commands and the options common to them; `own` are summaries of Mooring's own."""
    lines = _section("NAME", ["mooring - disks and snapshots on your own hosts"])
    lines += _section("SYNOPSIS", ["mooring [options] <command> [parameters]"])
    lines += _section("DESCRIPTION", [_INTRODUCTION])
    commands = {
        command_name(name): text[0] for name, text in OPERATIONS.items() if name not in NOT_COMMANDS
    }
    lines += ["COMMANDS", *_columns(commands), "", "MOORING'S OWN COMMANDS", *_columns(own), ""]
    lines += ["OPTIONS", *_terms(GLOBAL_OPTIONS)]
    lines += _section("FINDING THE SERVER", _FINDING)
    return _show(lines)


def show_operation(model: ServiceModel, operation: Operation) -> int:
    """The page of one operation: synopsis, options, examples, output."""
    from mooring.cli.input.arguments import options, starts_work

    command = command_name(operation.name)
    summary, text = OPERATIONS[operation.name]
    shape = model.shape(operation.input)
    lines = _name(command, summary)
    lines += ["SYNOPSIS", f"{_INDENT}mooring {command}"]
    names = options(model, operation)
    for name in names:
        if not name.startswith("--no-") and name != "--page-token":
            lines += _folded(f"{_INDENT}  {_synopsis(model, shape, name)}")
    lines += ["", *_section("DESCRIPTION", [f"{summary} {text}"])]
    if operation.pagination is not None:
        lines[-1:] = [
            "",
            *_wrapped(
                "All pages are fetched, one request each. --no-paginate fetches only the first."
            ),
            "",
        ]
    lines += ["OPTIONS"]
    terms = {
        _synopsis(model, shape, f"--{option_name(member)}", bare=True): MEMBERS.get(member, "")
        for member in shape.members
        if member != "pageToken" or operation.pagination is None
    }
    terms.update({name: INPUT_OPTIONS[name] for name in names if name in INPUT_OPTIONS})
    lines += _terms(terms)
    lines += _wrapped("Options common to all commands: see mooring help.")
    lines += ["", "EXAMPLES"]
    for title, example in examples(operation.name, command):
        lines += [f"{_INDENT}{title}:", ""]
        lines += [f"{_INDENT}  {line}" for line in example.split("\n")]
        lines.append("")
    lines += ["OUTPUT", *_structure(model, model.shape(operation.output), _INDENT, set()), ""]
    if starts_work(model, operation):
        lines += _section("SEE ALSO", ["mooring wait help; mooring get-operation help"])
    return _show(lines)


def show_own(
    name: str, summary: str, synopsis: list[str], text: tuple[str, ...], terms: dict[str, str]
) -> int:
    """The page of one of Mooring's own commands."""
    lines = _name(name, summary)
    lines.append("SYNOPSIS")
    for line in synopsis:
        lines += _wrapped(line, below=f"{_INDENT}    ")
    lines.append("")
    lines += _section("DESCRIPTION", [*text])
    if terms:
        lines += ["OPTIONS", *_terms(terms)]
    return _show(lines)


def _name(command: str, summary: str) -> list[str]:
    told = f"{summary[0].lower()}{summary[1:].rstrip('.')}"
    return _section("NAME", [f"mooring {command} - {told}"])


def _synopsis(model: ServiceModel, shape: Shape, option: str, bare: bool = False) -> str:
    """An option with its value, in brackets if it is optional (unless `bare`)."""
    for member, member_shape_name in shape.members.items():
        if option != f"--{option_name(member)}":
            continue
        kind = model.shape(member_shape_name).type
        form = f"{option} <{kind}>"
        if kind == "boolean":
            form = f"{option} | --no-{option[2:]}"
        elif kind == "list":
            form = f"{option} <value> [<value>...]"
        return form if bare or member in shape.required else f"[{form}]"
    value = "" if option == "--wait" else " <value>"
    return f"[{option}{value}]"


def _structure(model: ServiceModel, shape: Shape, indent: str, inside: set[str]) -> list[str]:
    """The members of a structure, one per line, with those inside them."""
    if shape.name in inside:
        return []
    lines = []
    for member, inner_name in shape.members.items():
        inner = model.shape(inner_name)
        kind = inner.type
        if kind == "list":
            inner = model.shape(inner.member)
            kind = f"list of {inner.type}s"
        choices = f": {', '.join(inner.enum)}" if 0 < len(inner.enum) <= 8 else ""
        lines.append(f"{indent}{member} ({kind}{choices})")
        lines += _structure(model, inner, f"{indent}  ", inside | {shape.name})
    return lines


def _section(title: str, paragraphs: list[str]) -> list[str]:
    lines = [title]
    for paragraph in paragraphs:
        lines += [*_wrapped(paragraph), ""]
    return lines


def _wrapped(text: str, indent: str = _INDENT, below: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if below is None else below,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _columns(entries: dict[str, str]) -> list[str]:
    width = max(len(name) for name in entries)
    below = " " * (len(_INDENT) + width + 2)
    lines = []
    for name, text in entries.items():
        lines += _wrapped(text, f"{_INDENT}{name.ljust(width)}  ", below)
    return lines


def _folded(line: str) -> list[str]:
    """The line, or two where an option and its opposite do not fit into one."""
    if len(line) <= _WIDTH or " | " not in line:
        return [line]
    first, second = line.split(" | ")
    indent = " " * (len(first) - len(first.lstrip()))
    return [f"{first} |", f"{indent}  {second}"]


def _terms(entries: dict[str, str]) -> list[str]:
    lines = []
    for name, text in entries.items():
        lines += [*_folded(f"{_INDENT}{name}"), *_wrapped(text, f"{_INDENT}    "), ""]
    return lines


def _show(lines: list[str]) -> int:
    """Print the page; on a terminal through $PAGER, by default less."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    if not sys.stdout.isatty() or not _page(text):
        sys.stdout.write(text)
    return 0


def _page(text: str) -> bool:
    import shlex
    import subprocess

    pager = shlex.split(os.environ.get("MANPAGER") or os.environ.get("PAGER") or "less -R")
    try:
        subprocess.run(pager, input=text, text=True, check=False)
    except OSError:
        return False
    return True
