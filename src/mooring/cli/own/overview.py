"""mooring help: all commands, and the options common to them."""

from __future__ import annotations

from mooring.cli.help import pages as help_pages
from mooring.cli.own.table import OWN_COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from mooring.cli.own.invocation import Invocation


def show(_: Invocation, __: Namespace) -> int:
    """Print the page; the exit code is returned."""
    return help_pages.show_overview({name: one.summary for name, one in OWN_COMMANDS.items()})
