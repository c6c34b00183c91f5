"""The one table of commands that `aws lightsail` does not have."""

from __future__ import annotations

from mooring.cli.own.command import Command
from mooring.cli.own.tables.disks import DISKS
from mooring.cli.own.tables.looking import LOOKING
from mooring.cli.own.tables.others import OTHERS
from mooring.cli.own.tables.snapshots import SNAPSHOTS

OWN_COMMANDS: dict[str, Command] = {**LOOKING, **DISKS, **SNAPSHOTS, **OTHERS}
"""In the order of the page that lists them."""
