"""The command lines of `doctor`, `check`, `notify` and `hosts`."""

from __future__ import annotations

import argparse

from mooring.admin.command_line import Commands
from mooring.config.settings import Settings


def add_health_commands(commands: Commands, settings: argparse.ArgumentParser) -> None:
    """Add them to the commands."""
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
