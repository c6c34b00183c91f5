"""The command lines of the processes that serve, and of `stop`, which ends them."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError


def add_serving_commands(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add `serve`, `host` and `stop` to the commands."""
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
        one.set_defaults(run=run_serve, development=False, command=name)
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
    stop.set_defaults(run=run_stop)


def add_inner_commands(commands: Commands) -> None:
    """Add those that the server starts by itself, which are not among the commands for people."""
    snapshots = commands.add_parser("serve-snapshots")
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
    snapshots.set_defaults(run=run_serve_snapshots, config=None, data=None)
    disks = commands.add_parser("serve-disks")
    disks.add_argument("--run-dir", type=Path, required=True)
    disks.add_argument("--tcp", metavar="HOST", required=True)
    disks.add_argument("--port", type=int, default=0)
    disks.add_argument("--certificate", type=Path, required=True)
    disks.add_argument("--key", type=Path)
    disks.add_argument("--client-authority", type=Path)
    disks.add_argument("--connections", type=int, required=True)
    disks.add_argument("--connections-per-address", type=int, required=True)
    disks.add_argument("--lock-fd", type=int, required=True)
    disks.set_defaults(run=run_serve_disks, config=None, data=None)


def in_development(options: argparse.Namespace) -> bool:
    """Whether a server is to be started that has no data directory. Raises ConfigurationError."""
    if options.run is not run_serve:
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


def run_serve(settings: Settings, options: argparse.Namespace) -> int:
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


def run_stop(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.serving.stopping import stop, stop_server

    if options.server:
        return stop_server(settings)
    return stop(settings, force=options.force)


def run_serve_snapshots(_settings: Settings, options: argparse.Namespace) -> int:
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


def run_serve_disks(_settings: Settings, options: argparse.Namespace) -> int:
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
