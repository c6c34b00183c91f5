"""The command lines of `fence`, `restore-host` and `restore-catalog`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings


def add_recovery_commands(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add them to the commands."""
    fence = commands.add_parser(
        "fence", parents=[settings], help="give up a host that is lost, after its machine is off"
    )
    fence.add_argument(
        "host",
        metavar="HOST",
        help="its name, as `mooringd hosts` shows it, or id; or of a server that is no host",
    )
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


def _fence(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.hosts import fence

    return fence(settings, options.host, force=options.force)


def _restore_host(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.hosts import restore_host

    return restore_host(settings, options.host, options.to)


def _restore_catalog(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.restore_catalog import restore_catalog

    return restore_catalog(settings, options.copy)
