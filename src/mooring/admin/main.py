"""mooringd: the operator's command."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from mooring import streams
from mooring.admin.access.grant_arguments import add_grants
from mooring.admin.access.key_arguments import add_keys
from mooring.admin.cluster.arguments import add_cluster_commands
from mooring.admin.completion import add_completion, complete
from mooring.admin.owner import become_owner
from mooring.admin.server_settings import server_settings
from mooring.admin.vault_arguments import add_vault_commands
from mooring.config.load import load
from mooring.config.places import default_settings
from mooring.config.settings import Settings
from mooring.model.errors import NO_ROOM, ConfigurationError, MooringError
from mooring.version import VERSION

_INNER_COMMAND = "serve-snapshots"
_RELAY_COMMAND = "serve-disks"
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
            kept = options.run not in _WITHOUT_DATA and not _in_development(options)
            if kept and not named and options.data is None:
                options.config = default_settings()
            settings = load(options.config, options.data)
            data = settings.data_directory
            if kept:
                owner = become_owner(data)
                if not named and options.run not in (_serve, _stop):
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


class _Parser(argparse.ArgumentParser):
    """Takes no empty values, and tells the nearest command instead of all, which the help lists."""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        # As when a script gives "$DATA" and has not set it: the default is not what was meant.
        # In a command line to complete, an empty word is where the cursor is.
        named = action.nargs != argparse.REMAINDER
        if not arg_string and named and not isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(action, "the value is empty: it names nothing")
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            from difflib import get_close_matches

            known = [one for one in action.choices if one != _INNER_COMMAND]
            near = [f"`mooringd {one}`" for one in get_close_matches(value, known, 1)]
            meant = f"; did you mean {near[0]}?" if near else ""
            raise argparse.ArgumentError(
                None, f"there is no command {value}{meant} (mooringd --help lists all)"
            )
        super()._check_value(action, value)


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
    parser: argparse.ArgumentParser = _Parser(prog="mooringd", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mooring/{VERSION}")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", metavar="FILE", help="settings (TOML)")
    settings.add_argument("--data", metavar="DIR", help="data directory, overrides the file's")
    # Each command is imported when it is run: `env` must not wait for the server's libraries.
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", parents=[settings], help="run the server")
    host = commands.add_parser(
        "host",
        parents=[settings],
        help="run a server that serves disks, and takes only what other servers pass on",
    )
    for name, one in (("serve", serve), ("host", host)):
        one.add_argument("--port", type=int, help="TCP port, overrides the file's; 0: a free one")
        one.add_argument(
            "--background", action="store_true", help="return once it is serving; it logs to a file"
        )
        one.set_defaults(run=_serve, development=False, command=name)
    serve.add_argument(
        "--development",
        action="store_true",
        help="for tests: any key, any region, on this host alone; nothing is kept",
    )
    serve.add_argument(
        "--engine",
        choices=("memory", "qemu"),
        help="with --development: what holds the disks; default: memory",
    )
    serve.add_argument(
        "--until-input-ends",
        action="store_true",
        help="with --development: end when standard input does",
    )

    stop = commands.add_parser(
        "stop", parents=[settings], help="end the server and all that serves disks, if none is used"
    )
    how = stop.add_mutually_exclusive_group()
    how.add_argument("--server", action="store_true", help="only the server: disks keep working")
    how.add_argument("--force", action="store_true", help="cut off whoever uses a disk")
    stop.set_defaults(run=_stop)

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

    doctor = commands.add_parser(
        "doctor", parents=[settings], help="say what is wrong, and how to fix it"
    )
    doctor.set_defaults(run=_doctor)
    check = commands.add_parser(
        "check", parents=[settings], help="how the server is, for monitoring systems (plugin)"
    )
    check.set_defaults(run=_check)
    notify = commands.add_parser(
        "notify", parents=[settings], help="send a test message to those who are told of troubles"
    )
    notify.add_argument("--test", action="store_true", required=True, help="what it is for")
    notify.set_defaults(run=_notify)
    hosts = commands.add_parser(
        "hosts", parents=[settings], help="list the hosts that disks are on, and how they are"
    )
    hosts.set_defaults(run=_hosts)
    fence = commands.add_parser(
        "fence", parents=[settings], help="give up a host that is lost, after its machine is off"
    )
    fence.add_argument("host", metavar="HOST", help="its name, as `mooringd hosts` shows it, or id")
    fence.add_argument("--force", action="store_true", help="also one that is up")
    fence.set_defaults(run=_fence)
    restored = commands.add_parser(
        "restore-host",
        parents=[settings],
        help="restore what a fenced host had on others, from the newest snapshots",
    )
    restored.add_argument("host", metavar="HOST", help="its name, or id")
    restored.add_argument("--to", metavar="HOST", help="where to; default: where there is room")
    restored.set_defaults(run=_restore_host)
    restore = commands.add_parser(
        "restore-catalog", parents=[settings], help="put a copy of the catalog back"
    )
    restore.add_argument("--copy", metavar="FILE", type=Path, help="default: list the copies")
    restore.set_defaults(run=_restore_catalog)
    add_vault_commands(commands, settings)
    add_keys(commands, settings)
    add_grants(commands, settings)
    add_cluster_commands(commands, settings)

    add_completion(commands, parser)

    # The server starts these by itself, so they are not among the commands for people.
    snapshots = commands.add_parser(_INNER_COMMAND)
    snapshots.add_argument("--vault", required=True)
    snapshots.add_argument("--s3", metavar="NAME=VALUE", action="append", default=[])
    snapshots.add_argument("--run-dir", type=Path, required=True)
    snapshots.add_argument("--key-file")
    snapshots.add_argument("--tcp", metavar="HOST")
    snapshots.add_argument("--port", type=int, default=0)
    snapshots.add_argument("--certificate", type=Path)
    snapshots.add_argument("--key", type=Path)
    snapshots.add_argument("--client-authority", type=Path)
    snapshots.add_argument("--lock-fd", type=int, required=True)
    snapshots.set_defaults(run=_serve_snapshots, config=None, data=None)
    disks = commands.add_parser(_RELAY_COMMAND)
    disks.add_argument("--run-dir", type=Path, required=True)
    disks.add_argument("--tcp", metavar="HOST", required=True)
    disks.add_argument("--port", type=int, default=0)
    disks.add_argument("--certificate", type=Path, required=True)
    disks.add_argument("--key", type=Path)
    disks.add_argument("--client-authority", type=Path)
    disks.add_argument("--connections", type=int, required=True)
    disks.add_argument("--connections-per-address", type=int, required=True)
    disks.add_argument("--lock-fd", type=int, required=True)
    disks.set_defaults(run=_serve_disks, config=None, data=None)
    return parser


def _restore_catalog(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.restore_catalog import restore_catalog

    return restore_catalog(settings, options.copy)


def _in_development(options: argparse.Namespace) -> bool:
    """Whether a server is to be started that has no data directory. Raises ConfigurationError."""
    if options.run is not _serve:
        return False
    if not options.development:
        for option, given in (
            ("--engine", options.engine is not None),
            ("--until-input-ends", options.until_input_ends),
        ):
            if given:
                raise ConfigurationError(f"{option} goes with --development: give both or neither")
        return False
    for option in ("config", "data", "background"):
        if getattr(options, option):
            raise ConfigurationError(
                f"--development keeps nothing and takes no settings: leave --{option} out"
            )
    return True


def _serve_development(options: argparse.Namespace) -> int:
    gc.disable()
    # structlog loads it where it is installed, for coloured tracebacks, which servers do not print.
    sys.modules["rich"] = cast(ModuleType, None)
    from mooring.admin.serving.serve_development import serve_development

    gc.freeze()
    gc.enable()
    return serve_development(
        port=options.port,
        engine=options.engine or "memory",
        until_input_ends=options.until_input_ends,
    )


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    if options.development:
        return _serve_development(options)
    if options.background:
        from mooring.admin.serving.background import serve_in_background

        return serve_in_background(
            settings,
            port=options.port,
            config=options.config,
            data=options.data,
            command=options.command,
        )
    # What is imported is there to stay: looking through it for garbage is a fifth of the time.
    gc.disable()
    from mooring.admin.serving.serve import serve

    gc.freeze()
    gc.enable()
    host_only = options.command == "host"
    return serve(settings, port=options.port, config=options.config, host_only=host_only)


def _stop(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.serving.stopping import stop, stop_server

    if options.server:
        return stop_server(settings)
    return stop(settings, force=options.force)


def _env(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access.env import env

    return env(settings, user=options.user)


def _console(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access.console import console

    return console(settings, user=options.user, opens=not options.no_open)


def _demo(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.demo.story import demo

    return demo(keep=options.keep, config=options.config)


def _doctor(settings: Settings, _options: argparse.Namespace) -> int:
    from mooring.admin.health.doctor import doctor

    return doctor(settings)


def _check(settings: Settings, _options: argparse.Namespace) -> int:
    from mooring.admin.health.check import check

    return check(settings)


def _notify(settings: Settings, _options: argparse.Namespace) -> int:
    from mooring.admin.health.notify import notify

    return notify(settings)


def _hosts(settings: Settings, _options: argparse.Namespace) -> int:
    from mooring.admin.health.hosts import hosts

    return hosts(settings)


def _fence(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.hosts import fence

    return fence(settings, options.host, force=options.force)


def _restore_host(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.hosts import restore_host

    return restore_host(settings, options.host, options.to)


def _serve_snapshots(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.serving.serve_snapshots import Tcp, serve_snapshots

    s3 = dict(option.split("=", 1) for option in options.s3)
    tcp = None
    if options.tcp:
        tcp = Tcp(
            options.tcp, options.port, options.certificate, options.key, options.client_authority
        )
    return serve_snapshots(
        options.vault, s3, options.key_file, options.run_dir, options.lock_fd, tcp
    )


def _serve_disks(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.serving.serve_disks import serve_disks
    from mooring.relay.server import Outside

    outside = Outside(
        options.tcp,
        options.port,
        options.certificate,
        options.key,
        options.client_authority,
        options.connections,
        options.connections_per_address,
    )
    return serve_disks(options.run_dir, options.lock_fd, outside)


_WITHOUT_DATA = (_demo, complete, _serve_snapshots, _serve_disks)

if __name__ == "__main__":
    sys.exit(main())
