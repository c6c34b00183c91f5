"""The command lines of `mooringd grants`."""

from __future__ import annotations

import argparse

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings


def add_grants(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add `grants` and its actions to the commands."""
    grants = commands.add_parser("grants", help="who may read snapshots over NBD (mooring export)")
    actions = grants.add_subparsers(required=True, metavar="ACTION", dest="action")
    actions.add_parser("list", parents=[settings], help="all that have not expired")
    withdraw = actions.add_parser(
        "withdraw", parents=[settings], help="end some, with their open connections"
    )
    which = withdraw.add_mutually_exclusive_group(required=True)
    which.add_argument("grant", metavar="GRANT", nargs="*", default=[], help="as `list` shows it")
    which.add_argument("--all", action="store_true", help="all of them")
    for action in (grants, *actions.choices.values()):
        action.set_defaults(run=_grants)


def _grants(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access import grants

    if options.action == "list":
        return grants.list_grants(settings)
    return grants.withdraw_grants(settings, options.grant, options.all)
