"""mooringd: the operator's command."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mooring import streams
from mooring.admin.access.grant_arguments import add_grants
from mooring.admin.access.key_arguments import add_keys
from mooring.admin.cluster.arguments import add_cluster_commands
from mooring.admin.command_line import Parser
from mooring.admin.completion import add_completion, complete
from mooring.admin.health.arguments import add_health_commands
from mooring.admin.owner import become_owner
from mooring.admin.recovery.arguments import add_recovery_commands
from mooring.admin.server_settings import server_settings
from mooring.admin.serving.arguments import (
    add_inner_commands,
    add_serving_commands,
    in_development,
    run_serve,
    run_serve_disks,
    run_serve_snapshots,
    run_stop,
)
from mooring.admin.vault_arguments import add_vault_commands
from mooring.config.load import load
from mooring.config.places import default_settings
from mooring.config.settings import Settings
from mooring.model.errors import NO_ROOM, MooringError
from mooring.version import VERSION

_NO_MEMORY = (
    "the system gives this process no more memory, or no more threads: raise its limits "
    "(ulimit -v, ulimit -u, or MemoryMax and TasksMax of its unit)"
)
_WITHOUT_LIBRARIES = (
    "the server needs Python packages that are not installed here, {} first: "
    "pip install 'mooring-disks[server]', or on Debian the package mooring-server. "
    "`mooring`, the client, works without them"
)
_BAD, _BAD_CHECK = 2, 3
"""The exit code where a command could not do what was asked; to a monitoring system 2 would mean
that something is wrong with the server."""

DESCRIPTION = "Mooring's server: block-storage disks and instant snapshots, with Lightsail's API."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; returns the exit code, 2 for bad settings or input, of `check` 3."""
    given = sys.argv[1:] if arguments is None else arguments
    bad = _BAD_CHECK if given[:1] == ["check"] else _BAD
    if arguments is None:
        # Whatever a command leaves behind is the server's business alone.
        os.umask(0o077)
        # Its work is to be done, and its exit code true, whether or not anybody reads on.
        streams.secure(goes_on=True)
    data: Path | None = None
    owner: str | None = None
    try:
        try:
            options = _parser().parse_args(arguments)
            run: Callable[[Settings, argparse.Namespace], int] = options.run
            named = options.config is not None
            kept = options.run not in _WITHOUT_DATA and not in_development(options)
            if kept and not named and options.data is None:
                options.config = default_settings()
            settings = load(options.config, options.data)
            data = settings.data_directory
            if kept:
                owner = become_owner(data)
                if not named and options.run not in (run_serve, run_stop):
                    settings = server_settings(data) or settings
            return run(settings, options)
        finally:
            # What cannot be written is to be told here, not by the interpreter at its end.
            sys.stdout.flush()
    except MooringError as error:
        print(f"mooringd: {error}", file=sys.stderr)
        return bad
    except ModuleNotFoundError as error:
        if (error.name or "mooring").startswith("mooring"):
            raise
        print(f"mooringd: {_WITHOUT_LIBRARIES.format(error.name)}", file=sys.stderr)
        return bad
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "new thread" not in str(error):
            raise
        print(f"mooringd: {_NO_MEMORY}", file=sys.stderr)
        return bad
    except OSError as error:
        if error.errno == errno.ENOMEM:
            print(f"mooringd: {_NO_MEMORY}", file=sys.stderr)
            return bad
        if error.filename is None and error.errno not in NO_ROOM:
            raise
        print(f"mooringd: {_told(error, data, owner)}", file=sys.stderr)
        return bad
    except SystemExit as error:
        if error.code == _BAD:
            raise SystemExit(bad) from None
        raise
    except KeyboardInterrupt:
        return 130


def _told(error: OSError, data: Path | None, owner: str | None) -> str:
    """What the system refused, and the way out where there is a usual one.

    `data` is the data directory, if it is known; `owner` is whom root acts as, if anybody.
    """
    if error.errno in NO_ROOM:
        place = os.fsdecode(error.filename) if error.filename else data or "the data directory"
        return f"{place}: {error.strerror}. Free some space on its file system, then try again"
    name = os.fsdecode(error.filename)
    text = f"{name}: {error.strerror}"
    if isinstance(error, PermissionError) and owner is not None:
        return (
            f"{text}. The data directory belongs to {owner}, so root acts as {owner}: "
            "name a place where that user may write"
        )
    if isinstance(error, PermissionError):
        return f"{text}. Run it as the server's user, or name your own directory with --data"
    of_data = data is not None and (data == Path(name) or data in Path(name).parents)
    above = data is not None and Path(name) in data.parents
    absent = isinstance(error, FileExistsError | FileNotFoundError | NotADirectoryError)
    if absent and (of_data or above):
        return f"{text}. Name a directory that exists or can be created with --data"
    return text


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(prog="mooringd", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mooring/{VERSION}")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", metavar="FILE", help="settings (TOML)")
    settings.add_argument("--data", metavar="DIR", help="data directory, overrides the file's")
    # Each command is imported when it is run: `env` must not wait for the server's libraries.
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serving_commands(commands, settings)

    env = commands.add_parser(
        "env", parents=[settings], help='print exports for AWS clients: eval "$(mooringd env)"'
    )
    env.add_argument("--user", help="whose key; default: the first in the file")
    env.set_defaults(run=_env)

    console = commands.add_parser(
        "console", parents=[settings], help="print a link that signs in to the console once"
    )
    console.add_argument("--user", help="as whom; default: the first key in the file")
    console.add_argument("--no-open", action="store_true", help="open no browser here")
    console.set_defaults(run=_console)

    demo = commands.add_parser(
        "demo", help="show everything at work, on a throw-away data directory"
    )
    demo.add_argument("--keep", action="store_true", help="keep the data directory")
    demo.add_argument("--config", help="TOML file with the settings of its server")
    demo.set_defaults(run=_demo, data=None)

    add_health_commands(commands, settings)
    add_recovery_commands(commands, settings)
    add_vault_commands(commands, settings)
    add_keys(commands, settings)
    add_grants(commands, settings)
    add_cluster_commands(commands, settings)
    add_completion(commands, parser)
    add_inner_commands(commands)
    return parser


def _env(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access.env import env

    return env(settings, user=options.user)


def _console(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access.console import console

    return console(settings, user=options.user, opens=not options.no_open)


def _demo(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.demo.story import demo

    return demo(keep=options.keep, config=options.config)


_WITHOUT_DATA = (_demo, complete, run_serve_snapshots, run_serve_disks)

if __name__ == "__main__":
    sys.exit(main())
