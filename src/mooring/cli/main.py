"""The user's command: mooring."""

from __future__ import annotations

import os
import sys

from mooring import streams
from mooring.cli import style
from mooring.cli.connection.session import Session
from mooring.cli.input import parser
from mooring.cli.own.table import OWN_COMMANDS
from mooring.model.errors import CommandError, OutputError


def main(arguments: list[str] | None = None) -> int:
    """Run one command line, by default the process's own; the exit code is returned."""
    if arguments is None:
        streams.secure(goes_on=False)
        arguments = sys.argv[1:]
    sessions: list[Session] = []
    try:
        status = _begin(arguments, sessions)
        # What cannot be written is to be told here, not by the interpreter at its end.
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _interrupted()
    except streams.OutputGoneError:
        return 0  # whoever read has seen enough
    except Exception as error:  # noqa: BLE001 - like aws: every failure is one message and a code
        return style.report(error, style.is_v2(os.environ, *sessions[:1]))


def _interrupted() -> int:
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OutputError:
        pass  # the exit code says it, too
    return style.INTERRUPTED


def _begin(arguments: list[str], sessions: list[Session]) -> int:
    """Find out what is asked for, and do it; `sessions` gets the session when there is one."""
    if not arguments:
        from mooring.cli.help import pages as help_pages

        return help_pages.show_start()
    if arguments[0] in {"--help", "-h"}:
        arguments = ["help"]
    if arguments[0] == "completion":
        return _complete(arguments[1:])
    if arguments[0] in OWN_COMMANDS:
        arguments = OWN_COMMANDS[arguments[0]].respelled(arguments)
    try:
        parsed, rest = parser.split_global(arguments)
    except parser.VersionRequested:
        from mooring.version import VERSION

        sys.stdout.write(f"mooring/{VERSION} Python/{sys.version.split()[0]}\n")
        return 0
    sessions.append(Session(os.environ, parsed.profile))
    if style.is_v2(os.environ, sessions[0]):
        rest = parser.take_v2_options(rest)
    elif parsed.output == parser.OFF:
        parser.refuse_off()
    return _run(parsed, rest, sessions[0])


def _complete(rest: list[str]) -> int:
    """Shells ask at their start and at each tab: whatever is set up must not matter to it."""
    if rest[:1] == ["words"]:
        from mooring.cli.own import completion

        return completion.show_words(rest[1:])
    from mooring.cli.own import running

    return running.run("completion", rest, None)


def _run(parsed: object, rest: list[str], session: Session) -> int:
    from mooring.cli.input.names import command_names, operation_name
    from mooring.cli.options import Options
    from mooring.protocol import service_model

    options = Options(parsed)  # type: ignore[arg-type]
    model = service_model.load()
    served = [*command_names(model.operations), *OWN_COMMANDS]
    if rest and rest[0] not in served and operation_name(rest[0]) in model.unserved:
        raise CommandError(
            f"{rest[0]} is an operation of Lightsail that Mooring does not serve. "
            "`mooring help` lists those it serves.",
            "usage",
            "UnservedOperation",
        )
    command, rest = parser.take_command(rest, served)
    if command in OWN_COMMANDS:
        from mooring.cli.own import running
        from mooring.cli.own.invocation import Invocation

        return running.run(command, rest, Invocation(model, options, session))
    from mooring.cli import operation

    return operation.run(model, model.operations[operation_name(command)], rest, options, session)


if __name__ == "__main__":
    sys.exit(main())
