"""The command lines of `init`, `join`, `join-secrets` and `share-settings`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings

_URL_HELP = "of the database, such as postgresql://mooring@db.example/mooring"


def add_cluster_commands(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add them to the commands."""
    new = argparse.ArgumentParser(add_help=False)
    new.add_argument("url", metavar="URL", help=_URL_HELP)
    new.add_argument("--data", metavar="DIR", help="data directory of this host's server")
    new.add_argument(
        "--to", metavar="FILE", type=Path, help="settings to write; default: mooring.toml there"
    )
    new.add_argument("--name", help="the server's name; default: the host's")
    new.add_argument(
        "--listen",
        metavar="NAME",
        help="this host's name or address for other hosts, as in the certificate; without it the "
        "server is reached from this host only",
    )
    new.add_argument("--certificate", metavar="FILE", help="of the server, PEM; needs --listen")
    new.add_argument("--key", metavar="FILE", help="of the certificate, PEM")
    new.add_argument(
        "--authority", metavar="FILE", help="vouches for other servers, PEM; default: the system's"
    )
    new.add_argument("--port", type=int, help="TCP port of the server; default: 8470")
    new.add_argument(
        "--insecure",
        action="store_true",
        help="use a database on another machine without TLS: others could read and change all",
    )

    init = commands.add_parser(
        "init", parents=[new], help="make a catalog that several servers share; this is the first"
    )
    init.add_argument(
        "--vault", metavar="PLACE", required=True, help="s3://bucket/prefix, or what all hosts see"
    )
    init.add_argument("--region", default="us-east-2", help="default: %(default)s")
    init.add_argument(
        "--zone", action="append", default=[], help="this host's; default: the region's first, a"
    )
    init.set_defaults(run=_init, config=None)

    join = commands.add_parser("join", parents=[new], help="make this host a further server")
    join.add_argument(
        "--zone", action="append", default=[], help="whose disks are here; default: none"
    )
    join.add_argument("--region", help="that of the zones, where the catalog has several")
    join.add_argument(
        "--vault",
        metavar="PLACE",
        help="where this host sees the region's vault; default: where others see it",
    )
    join.add_argument(
        "--secret-file",
        metavar="FILE",
        type=Path,
        help="has the join secret; default: $MOORING_JOIN_SECRET, or asked for",
    )
    join.add_argument(
        "--no-start", action="store_true", help="do not start the server in the background"
    )
    join.set_defaults(run=_join, config=None)

    secrets = commands.add_parser("join-secrets", help="what lets further servers join")
    actions = secrets.add_subparsers(required=True, metavar="ACTION", dest="action")
    create = actions.add_parser("create", parents=[settings], help="print a new one")
    create.add_argument("--once", action="store_true", help="for one server only")
    lasts = create.add_mutually_exclusive_group()
    lasts.add_argument("--hours", type=float, default=24.0, help="how long it is good; default: 24")
    lasts.add_argument("--for-ever", action="store_true", help="until it is revoked")
    actions.add_parser("list", parents=[settings], help="those that are good, not what they are")
    revoke = actions.add_parser("revoke", parents=[settings], help="refuse one from now on")
    revoke.add_argument("secret", metavar="ID", help="as `list` shows it")
    for action in (secrets, *actions.choices.values()):
        action.set_defaults(run=_secrets)

    share = commands.add_parser(
        "share-settings",
        parents=[settings],
        help="have what this server's settings say hold for all servers of the catalog",
    )
    share.set_defaults(run=_share)


def _init(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.cluster.init import init

    return init(options)


def _join(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.cluster.join import join

    return join(options)


def _secrets(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.cluster import join_secrets

    if options.action == "create":
        hours = None if options.for_ever else options.hours
        return join_secrets.create(settings, once=options.once, hours=hours)
    if options.action == "list":
        return join_secrets.list_secrets(settings)
    return join_secrets.revoke(settings, options.secret)


def _share(settings: Settings, _options: argparse.Namespace) -> int:
    from mooring.admin.cluster.share_settings import share_settings

    return share_settings(settings)
