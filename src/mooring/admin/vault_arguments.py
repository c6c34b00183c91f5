"""The command lines of what `mooringd` does with vaults: verify, collect, export, ..."""

from __future__ import annotations

import argparse
from pathlib import Path

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError


def add_vault_commands(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add them all; `settings` is the parent that has the options of every command."""
    place = argparse.ArgumentParser(add_help=False, parents=[settings])
    place.add_argument("--region", help="only this region's vault; default: all")
    _add_verify(commands, place)
    _add_collect(commands, place)
    _add_usage(commands, place)
    _add_export(commands, place)
    _add_diff(commands, place)
    _add_replicate(commands, place)
    _add_accept(commands, settings)
    _add_recover(commands, settings)
    _add_rekey(commands, settings)


def _add_verify(commands: Commands, place: argparse.ArgumentParser) -> None:
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
        help="read only this much of the data, chosen at random, and all maps",
    )
    verify.add_argument(
        "--stored",
        action="store_true",
        help="check all stored bytes as they are instead: needs no key, names no snapshots",
    )
    verify.add_argument(
        "--mend",
        action="store_true",
        help="verify everything, and mend damage from a copy of the vault or from a disk",
    )
    verify.add_argument(
        "--from",
        dest="copies",
        metavar="PLACE",
        action="append",
        default=[],
        help="with --mend: the place of a copy; default: regions.<name>.replica",
    )
    verify.add_argument(
        "--image",
        dest="images",
        metavar="FILE",
        action="append",
        default=[],
        help="with --mend: something with a disk's data: a raw image, a device, an NBD URI",
    )
    verify.set_defaults(run=_verify)


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.verify import verify, verify_stored

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
    from mooring.admin.vaults.mend import mend

    if options.stored or options.disk or options.snapshot or options.sample != 100:
        raise ConfigurationError(
            "--mend verifies everything: omit --disk, --snapshot, --sample and --stored"
        )
    return mend(settings, region=options.region, copies=options.copies, images=options.images)


def _add_collect(commands: Commands, place: argparse.ArgumentParser) -> None:
    collect = commands.add_parser(
        "collect", parents=[place], help="reclaim the space of deleted snapshots now"
    )
    collect.add_argument("--dry-run", action="store_true", help="only report what would be freed")
    collect.set_defaults(run=_collect)


def _collect(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.collect import collect

    return collect(settings, region=options.region, dry_run=options.dry_run)


def _add_usage(commands: Commands, place: argparse.ArgumentParser) -> None:
    usage = commands.add_parser(
        "usage", parents=[place], help="what each snapshot takes alone, and what it shares"
    )
    usage.add_argument("--json", dest="as_json", action="store_true", help="print JSON, in bytes")
    usage.set_defaults(run=_usage)


def _usage(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.usage import usage

    return usage(settings, region=options.region, as_json=options.as_json)


def _add_export(commands: Commands, place: argparse.ArgumentParser) -> None:
    export = commands.add_parser(
        "export", parents=[place], help="write a snapshot into an image file, and compare it"
    )
    export.add_argument("--snapshot", metavar="NAME", required=True, help="a name or an id")
    export.add_argument(
        "--format",
        choices=("raw", "qcow2", "vmdk"),
        help="default: what the name of the file ends in, else raw",
    )
    export.add_argument("--output", metavar="FILE", type=Path, required=True)
    export.set_defaults(run=_export)


def _export(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.export import export

    return export(
        settings,
        snapshot=options.snapshot,
        region=options.region,
        image_format=options.format,
        output=options.output,
    )


def _add_diff(commands: Commands, place: argparse.ArgumentParser) -> None:
    diff = commands.add_parser(
        "diff", parents=[place], help="what changed between two snapshots, as JSON"
    )
    diff.add_argument("--snapshot", metavar="NAME", required=True, help="a name or an id")
    diff.add_argument("--since", metavar="NAME", help="the older one; default: a disk of zeros")
    diff.set_defaults(run=_diff)


def _diff(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.diff import diff

    return diff(settings, snapshot=options.snapshot, since=options.since, region=options.region)


def _add_replicate(commands: Commands, place: argparse.ArgumentParser) -> None:
    replicate = commands.add_parser(
        "replicate", parents=[place], help="bring a copy of a vault in another place up to date"
    )
    replicate.add_argument(
        "--to", metavar="PLACE", help="directory or s3://...; default: regions.<name>.replica"
    )
    replicate.add_argument(
        "--delete", action="store_true", help="delete copies of snapshots that were deleted here"
    )
    replicate.add_argument(
        "--new", action="store_true", help="start a new copy in place of one that is lost"
    )
    replicate.set_defaults(run=_replicate)


def _replicate(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.replicate import replicate

    return replicate(
        settings, region=options.region, to=options.to, delete=options.delete, new=options.new
    )


def _add_accept(commands: Commands, settings: argparse.ArgumentParser) -> None:
    accept = commands.add_parser(
        "accept",
        parents=[settings],
        help="continue with whatever is in the place of a region's vault, if the right one is lost",
    )
    accept.add_argument("--region", required=True, help="the region whose vault it is to be")
    accept.set_defaults(run=_accept)


def _accept(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.accept import accept

    return accept(settings, options.region)


def _add_recover(commands: Commands, settings: argparse.ArgumentParser) -> None:
    recover = commands.add_parser(
        "recover", parents=[settings], help="fill an empty catalog from vaults and live disks"
    )
    recover.add_argument("--vault", metavar="DIR", help="only this vault; default: all regions'")
    recover.add_argument(
        "--add",
        action="store_true",
        help="also work on a catalog that is not empty: enter what it lacks",
    )
    recover.set_defaults(run=_recover)


def _recover(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.recovery.recover import recover

    return recover(settings, options.vault, add=options.add)


def _add_rekey(commands: Commands, settings: argparse.ArgumentParser) -> None:
    rekey = commands.add_parser(
        "rekey", parents=[settings], help="change the passphrase or key file of a sealed vault"
    )
    rekey.add_argument("--region", required=True, help="the region whose vault it is")
    rekey.add_argument(
        "--new-key-file", required=True, metavar="FILE", help="file with the new secret"
    )
    rekey.set_defaults(run=_rekey)


def _rekey(settings: Settings, options: argparse.Namespace) -> int:
    from mooring.admin.vaults.rekey import rekey

    return rekey(settings, region=options.region, new_key_file=options.new_key_file)
