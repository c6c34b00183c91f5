"""argparse with aws's error texts, and the options common to all commands."""

from __future__ import annotations

import argparse

from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

USAGE = """\
usage: mooring [options] <command> [parameters]
To see help text, you can run:

  mooring help
  mooring <command> help"""

OFF = "off"
"""An output of `aws` v2: nothing is printed."""

OUTPUTS = ["json", "text", "table", "yaml", "yaml-stream"]
COMMAND = "operation"
# What other programs call it.
_ELSEWHERE = {
    "list": ("get-disks", "get-disk-snapshots", "get-instances"),
    "show": ("get-disk", "get-disk-snapshot", "stat"),
    "snapshot": ("create-disk-snapshot", "get-disk-snapshots"),
    "status": ("stat", "get-disks", "get-operations"),
    "restore": ("create-disk-from-snapshot",),
    "create": ("create-disk", "create-disk-snapshot", "create-instances"),
    "attach": ("attach-disk",),
    "mount": ("attach-disk", "device"),
}
_SUGGESTIONS = 6
_COLUMN = "%-40s"
_WIDTH = 80


class VersionRequested(Exception):
    """Somebody typed --version."""


class Parser(argparse.ArgumentParser):
    """Raises CommandError instead of leaving; `exact_only` options are never abbreviated."""

    def __init__(self) -> None:
        super().__init__(
            prog="mooring",
            usage=USAGE,
            # With a width of its own, the formatter does not load shutil to ask the terminal.
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=_WIDTH),
            add_help=False,
            conflict_handler="resolve",
        )
        self.exact_only: set[str] = set()

    def parse_all(self, words: list[str]) -> argparse.Namespace:
        """Parse words that must all be known here, and names that must not be empty.

        As when a script gives "$NAME" and has not set it. Raises CommandError of kind `usage`.
        """
        parsed, unknown = self.parse_known_args(words)
        if unknown:
            raise CommandError(f"Unknown options: {', '.join(unknown)}", "usage")
        for action in self._actions:
            if action.option_strings and getattr(parsed, action.dest, None) == "":
                option = action.option_strings[0]
                raise CommandError(f"{option} is empty: it names nothing.", "usage")
        return parsed

    def error(self, message: str) -> Any:
        raise CommandError(message, "usage", "ParamValidation")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest == "output" and value == OFF:
            return  # whether the style knows it can only be told later
        if action.choices is not None and value not in action.choices:
            text = invalid_choice(value, list(action.choices))
            if action.dest == COMMAND and "maybe you meant" not in text:
                text += _with_the_word(value, list(action.choices))
            raise argparse.ArgumentError(action, text)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        # Options that aws does not have must not make its abbreviations ambiguous.
        return [
            found
            for found in super()._get_option_tuples(option_string)
            if found[1] not in self.exact_only
        ]


def invalid_choice(value: str, choices: list[str]) -> str:
    """aws's text for a word that is not among the choices, with the most similar ones."""
    from difflib import get_close_matches

    lines = ["Invalid choice, valid choices are:\n"]
    lines += [
        " | ".join(_COLUMN % choice for choice in choices[start : start + 2])
        for start in range(0, len(choices), 2)
    ]
    similar = get_close_matches(value, choices, cutoff=0.8)
    if similar:
        lines.append(f"\n\nInvalid choice: {value!r}, maybe you meant:\n")
        lines += [f"  * {word}" for word in similar]
    return "\n".join(lines)


def _with_the_word(word: str, commands: list[str]) -> str:
    """Commands that somebody may mean who types a word from elsewhere; empty if none is known."""
    named = [one for form in (word, word.rstrip("s")) for one in commands if form in one.split("-")]
    likely = _ELSEWHERE.get(word, ())
    found = [one for one in dict.fromkeys([*likely, *named]) if one in commands][:_SUGGESTIONS]
    lines = [f"\n\n{word!r} is not a command; perhaps one of these:\n"] if found else []
    return "\n".join([*lines, *(f"  * {one}" for one in found)])


class _Version(argparse.Action):
    def __call__(self, *_: object, **__: object) -> None:
        raise VersionRequested


def split_global(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Take the options common to all commands out of the arguments; the rest comes back in order.

    Raises CommandError of kind `usage`, and VersionRequested.
    """
    parser = Parser()
    add = parser.add_argument
    add("--debug", action="store_true")
    add("--endpoint-url")
    add("--no-verify-ssl", action="store_false", dest="verify_ssl")
    add("--no-paginate", action="store_false", dest="paginate")
    add("--output", choices=OUTPUTS)
    add("--query")
    add("--profile")
    add("--region")
    add("--version", action=_Version, nargs=0)
    add("--color", choices=["on", "off", "auto"], default="auto")
    add("--no-sign-request", action="store_false", dest="sign_request")
    add("--ca-bundle")
    add("--cli-read-timeout", dest="read_timeout")
    add("--cli-connect-timeout", dest="connect_timeout")
    add("--v2-debug", action="store_true")
    # The word that aws has here, `lightsail`, also keeps the first of our words for later.
    add("service")
    return parser.parse_known_args(["lightsail", *arguments])


def take_v2_options(arguments: list[str]) -> list[str]:
    """Take away the global options of `aws` v2 that have no meaning here; the rest is returned.

    Raises CommandError of kind `usage` for values that v2 would not take.
    """
    parser = Parser()
    parser.allow_abbrev = False
    for option in ("--no-cli-pager", "--cli-auto-prompt", "--no-cli-auto-prompt"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--cli-binary-format", choices=["base64", "raw-in-base64-out"])
    parser.add_argument(
        "--cli-error-format", choices=["legacy", "json", "yaml", "text", "table", "enhanced"]
    )
    return parser.parse_known_args(arguments)[1]


def refuse_off() -> None:
    """Raises CommandError for `--output off` in the style of v1, which does not have it."""
    raise CommandError(
        f"argument --output: {invalid_choice(OFF, OUTPUTS)}", "usage", "ParamValidation"
    )


def take_command(arguments: list[str], commands: Iterable[str]) -> tuple[str, list[str]]:
    """The command's name and the arguments left. Raises CommandError of kind `usage`."""
    parser = Parser()
    parser.add_argument(COMMAND, choices=list(commands))
    parsed, rest = parser.parse_known_args(arguments)
    return parsed.operation, rest
