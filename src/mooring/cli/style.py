"""How the command reports failure: aws v1's exit codes and texts, or v2's."""

from __future__ import annotations

import sys

from mooring.cli.input.parser import USAGE
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.cli.connection.session import Session

STYLE_VARIABLE = "MOORING_CLI_STYLE"
INTERRUPTED = 130
_V1_FAILURE = 255
_V1_USAGE = 2
_V2_STATUSES = {"usage": 252, "parameter": 252, "configuration": 253, "service": 254}
# These two come from aws's main program rather than from the library under it, and so have no
# empty line before them.
_BARE_CODES = {"NoRegion", "NoCredentials"}


def is_v2(environ: Mapping[str, str], session: Session | None = None) -> bool:
    """Whether `cli_style = v2` is set, in the environment or in the profile."""
    value = environ.get(STYLE_VARIABLE)
    if value is None and session is not None:
        try:
            value = session.text("cli_style")
        except CommandError:
            value = None
    return value == "v2"


def report(error: Exception, v2: bool) -> int:
    """Print the error on standard error and return the exit code."""
    kind = error.kind if isinstance(error, CommandError) else "general"
    code = error.code if isinstance(error, CommandError) else ""
    words = _words(error)
    if v2:
        return _report_v2(words, kind, code)
    if kind == "usage" and code:
        sys.stderr.write(f"{USAGE}\nmooring: error: {words}\n")
        return _V1_USAGE
    if kind == "usage":
        sys.stderr.write(f"{USAGE}\n\n{words}\n")
    elif code in _BARE_CODES:
        sys.stderr.write(f"{words}\n")
    else:
        sys.stderr.write(f"\n{words}\n")
    return _V1_FAILURE


def _words(error: Exception) -> str:
    """What went wrong, also where the interpreter has no words of use, or none at all."""
    if isinstance(error, RecursionError):
        return (
            "This is nested too deeply to be handled, in what was given (--query, JSON, YAML) or "
            "in the answer: nest it less."
        )
    if isinstance(error, MemoryError):
        return (
            "This takes more memory than is available: ask for less at a time, or for a smaller "
            "result with --query."
        )
    return str(error)


def _report_v2(message: str, kind: str, code: str) -> int:
    if kind in {"usage", "parameter"}:
        code = "ParamValidation"
    lead = f"An error occurred ({code}): " if code and kind != "service" else ""
    sys.stderr.write(f"\nmooring: [ERROR]: {lead}{message}\n")
    if kind == "usage":
        sys.stderr.write(f"\n{USAGE}\n")
    return _V2_STATUSES.get(kind, _V1_FAILURE)
