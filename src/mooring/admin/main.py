"""mooringd: the operator's command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.config.load import load
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError, MooringError
from mooring.version import VERSION

DESCRIPTION = "Mooring's server: block-storage disks and instant snapshots, with Lightsail's API."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; returns the exit code, 2 for bad settings or input."""
    options = _parser().parse_args(arguments)
    run: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        settings = load(options.config, options.data)
        return run(settings, options)
    except MooringError as error:
        print(f"mooringd: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mooringd", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mooring/{VERSION}")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", metavar="FILE", help="settings (TOML)")
    settings.add_argument("--data", metavar="DIR", help="data directory, wins over the file's")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", parents=[settings], help="run the server")
    serve.add_argument("--port", type=int, help="TCP port, wins over the file's; 0: a free one")
    serve.set_defaults(run=_serve)

    env = commands.add_parser(
        "env", parents=[settings], help='print exports for AWS clients: eval "$(mooringd env)"'
    )
    env.add_argument("--user", help="whose key; default: the first of the file")
    env.set_defaults(run=_env)

    demo = commands.add_parser("demo", help="show it all working on a throw-away data directory")
    demo.add_argument("--keep", action="store_true", help="leave the data directory behind")
    demo.set_defaults(run=_demo, config=None, data=None)

    doctor = commands.add_parser(
        "doctor", parents=[settings], help="say what is wrong, and the way out"
    )
    doctor.set_defaults(run=_doctor)
    _add_vault_commands(commands, settings)
    _add_keys(commands, settings)

    # The server starts it by itself, so it is not among the commands for people.
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
    snapshots.set_defaults(run=_serve_snapshots, config=None, data=None)
    return parser


def _add_vault_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    settings: argparse.ArgumentParser,
) -> None:
    place = argparse.ArgumentParser(add_help=False, parents=[settings])
    place.add_argument("--region", help="only this region's vault; default: all")

    verify = commands.add_parser(
        "verify", parents=[place], help="read snapshots back; exit code 1 if any is damaged"
    )
    chosen = verify.add_mutually_exclusive_group()
    chosen.add_argument("--disk", metavar="NAME", help="only the snapshots of this disk")
    chosen.add_argument("--snapshot", metavar="NAME", help="only this snapshot; a name or an id")
    verify.add_argument(
        "--sample",
        metavar="PERCENT",
        type=float,
        default=100.0,
        help="read only so much of the data, chosen at random, and all of the maps",
    )
    verify.add_argument(
        "--stored",
        action="store_true",
        help="read all stored bytes instead, as they are: needs no key, tells no snapshots",
    )
    verify.add_argument(
        "--mend",
        action="store_true",
        help="verify all, and mend what is damaged from a copy of the vault or from a disk",
    )
    verify.add_argument(
        "--from",
        dest="copies",
        metavar="PLACE",
        action="append",
        default=[],
        help="with --mend: where a copy is; default: regions.<name>.replica",
    )
    verify.add_argument(
        "--image",
        dest="images",
        metavar="FILE",
        action="append",
        default=[],
        help="with --mend: what has data of a disk: a raw image, a device, an NBD URI",
    )
    verify.set_defaults(run=_verify)

    collect = commands.add_parser(
        "collect", parents=[place], help="give back the room of deleted snapshots now"
    )
    collect.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    collect.set_defaults(run=_collect)

    usage = commands.add_parser(
        "usage", parents=[place], help="what each snapshot takes alone, and what it shares"
    )
    usage.add_argument("--json", dest="as_json", action="store_true", help="print JSON, in bytes")
    usage.set_defaults(run=_usage)

    export = commands.add_parser(
        "export", parents=[place], help="write a snapshot into an image file, and compare it"
    )
    export.add_argument("--snapshot", metavar="NAME", required=True, help="a name or an id")
    export.add_argument("--format", choices=("raw", "qcow2", "vmdk"), default="raw")
    export.add_argument("--output", metavar="FILE", type=Path, required=True)
    export.set_defaults(run=_export)

    diff = commands.add_parser(
        "diff", parents=[place], help="what changed between two snapshots, as JSON"
    )
    diff.add_argument("--snapshot", metavar="NAME", required=True, help="a name or an id")
    diff.add_argument("--since", metavar="NAME", help="the older one; default: a disk of zeros")
    diff.set_defaults(run=_diff)

    replicate = commands.add_parser(
        "replicate", parents=[place], help="bring a copy of a vault in another place up to date"
    )
    replicate.add_argument(
        "--to", metavar="PLACE", help="directory or s3://...; default: regions.<name>.replica"
    )
    replicate.add_argument(
        "--delete", action="store_true", help="delete there what was copied and is deleted here"
    )
    replicate.set_defaults(run=_replicate)

    recover = commands.add_parser(
        "recover", parents=[settings], help="fill an empty catalog from the vaults"
    )
    recover.add_argument("--vault", metavar="DIR", help="only this vault; default: all regions'")
    recover.set_defaults(run=_recover)

    rekey = commands.add_parser(
        "rekey", parents=[settings], help="change the passphrase or key file of a sealed vault"
    )
    rekey.add_argument("--region", required=True, help="the region whose vault it is")
    rekey.add_argument(
        "--new-key-file", required=True, metavar="FILE", help="file with the new secret"
    )
    rekey.set_defaults(run=_rekey)


def _add_keys(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    settings: argparse.ArgumentParser,
) -> None:
    keys = commands.add_parser("keys", help="access keys, their roles and tags")
    actions = keys.add_subparsers(required=True, metavar="ACTION", dest="action")
    user = argparse.ArgumentParser(add_help=False, parents=[settings])
    user.add_argument("user", metavar="USER")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument(
        "--output", metavar="FILE", type=Path, help="write the new key alone there, mode 0600"
    )
    roles = ("administrator", "operator", "read-only")
    tag_help = "acts only on resources with this tag, and makes only such; may be repeated"

    actions.add_parser("list", parents=[settings], help="all keys, without their secrets")

    create = actions.add_parser("create", parents=[user, output], help="a key for a new user")
    create.add_argument("--role", choices=roles, required=True)
    create.add_argument("--tag", metavar="KEY=VALUE", action="append", default=[], help=tag_help)

    change = actions.add_parser("change", parents=[user], help="another role, or other tags")
    change.add_argument("--role", choices=roles)
    change.add_argument("--tag", metavar="KEY=VALUE", action="append", help=tag_help)
    change.add_argument("--no-tags", action="store_true", help="bound to no tags any more")

    rotate = actions.add_parser(
        "rotate", parents=[user, output], help="a new key; the old one ends after a while"
    )
    rotate.add_argument("--overlap-hours", metavar="N", type=float, default=24.0)

    delete = actions.add_parser("delete", parents=[user], help="refuse a user's keys from now on")
    delete.add_argument("--key-id", metavar="ID", help="only this one")
    for action in (keys, *actions.choices.values()):
        action.set_defaults(run=_keys)


# Each command is imported when it is asked for: `env` must not wait for the server's libraries.


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.serve import serve

    return serve(settings, port=options.port)


def _env(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.env import env

    return env(settings, user=options.user)


def _keys(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin import keys

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


def _demo(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.demo.story import demo

    return demo(keep=options.keep)


def _doctor(settings: Settings, _options: argparse.Namespace) -> int:
    from mooring.admin.doctor import doctor

    return doctor(settings)


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.verify import verify, verify_stored

    if options.mend:
        return _mend(settings, options)
    if options.copies or options.images:
        raise ConfigurationError("--from and --image say what to mend from: give --mend too")
    if options.stored:
        return verify_stored(settings, region=options.region)
    return verify(
        settings,
        region=options.region,
        disk=options.disk,
        snapshot=options.snapshot,
        percent=options.sample,
    )


def _mend(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.mend import mend

    if options.stored or options.disk or options.snapshot or options.sample != 100:
        raise ConfigurationError(
            "--mend needs all to be verified: leave --disk, --snapshot, --sample, --stored out"
        )
    return mend(settings, region=options.region, copies=options.copies, images=options.images)


def _collect(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.collect import collect

    return collect(settings, region=options.region, dry_run=options.dry_run)


def _usage(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.usage import usage

    return usage(settings, region=options.region, as_json=options.as_json)


def _export(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.export import export

    return export(
        settings,
        snapshot=options.snapshot,
        region=options.region,
        image_format=options.format,
        output=options.output,
    )


def _diff(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.diff import diff

    return diff(settings, snapshot=options.snapshot, since=options.since, region=options.region)


def _replicate(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.replicate import replicate

    return replicate(settings, region=options.region, to=options.to, delete=options.delete)


def _recover(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recover import recover

    return recover(settings, options.vault)


def _serve_snapshots(_settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.serve_snapshots import Tcp, serve_snapshots

    s3 = dict(option.split("=", 1) for option in options.s3)
    tcp = None
    if options.tcp:
        tcp = Tcp(
            options.tcp, options.port, options.certificate, options.key, options.client_authority
        )
    return serve_snapshots(
        options.vault, s3, options.key_file, options.run_dir, options.lock_fd, tcp
    )


def _rekey(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.rekey import rekey

    return rekey(settings, region=options.region, new_key_file=options.new_key_file)


if __name__ == "__main__":
    sys.exit(main())
