"""The command lines of `mooringd keys` and `mooringd audit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings


def add_keys(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add `keys` and its actions, and `audit`, to the commands."""
    keys = commands.add_parser("keys", help="access keys, their roles and tags")
    actions = keys.add_subparsers(required=True, metavar="ACTION", dest="action")
    user = argparse.ArgumentParser(add_help=False, parents=[settings])
    user.add_argument("user", metavar="USER")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument(
        "--output", metavar="FILE", type=Path, help="also write the new key to this file, mode 0600"
    )
    roles = ("administrator", "operator", "read-only")
    tag_help = "restrict the key to resources with this tag, also for new ones; may be repeated"

    actions.add_parser("list", parents=[settings], help="all keys, without their secrets")

    create = actions.add_parser("create", parents=[user, output], help="a key for a new user")
    create.add_argument("--role", choices=roles, required=True)
    create.add_argument("--tag", metavar="KEY=VALUE", action="append", default=[], help=tag_help)

    change = actions.add_parser("change", parents=[user], help="another role, or other tags")
    change.add_argument("--role", choices=roles)
    change.add_argument("--tag", metavar="KEY=VALUE", action="append", help=tag_help)
    change.add_argument("--no-tags", action="store_true", help="no longer bound to tags")

    rotate = actions.add_parser(
        "rotate", parents=[user, output], help="a new key; the old one expires after a while"
    )
    rotate.add_argument("--overlap-hours", metavar="N", type=float, default=24.0)

    delete = actions.add_parser("delete", parents=[user], help="refuse a user's keys from now on")
    delete.add_argument("--key-id", metavar="ID", help="only this one")
    for action in (keys, *actions.choices.values()):
        action.set_defaults(run=_keys)

    audit = commands.add_parser(
        "audit", parents=[settings], help="who changed what at all servers of a shared catalog"
    )
    audit.add_argument("--hours", type=float, default=24.0, help="how far back; default: 24")
    audit.add_argument("--user", help="only what this user did")
    audit.add_argument("--operation", help="only these, such as DeleteDisk")
    audit.set_defaults(run=_audit)


def _audit(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access.audit import audit

    return audit(settings, options.hours, options.user, options.operation)


def _keys(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.access import keys

    if options.action == "list":
        return keys.list_keys(settings)
    if options.action == "create":
        return keys.create(settings, options.user, options.role, options.tag, options.output)
    if options.action == "change":
        tags = [] if options.no_tags else options.tag
        return keys.change(settings, options.user, options.role, tags)
    if options.action == "rotate":
        return keys.rotate(settings, options.user, options.overlap_hours, options.output)
    return keys.delete(settings, options.user, options.key_id)
