"""mooring completion: makes shells complete commands, options and names."""

from __future__ import annotations

import os
import sys

from mooring.cli import operation
from mooring.cli.connection.session import Session
from mooring.cli.help.texts import GLOBAL_OPTIONS
from mooring.cli.input import arguments, parser
from mooring.cli.input.names import command_names, operation_name
from mooring.cli.options import Options
from mooring.cli.own.table import OWN_COMMANDS
from mooring.protocol import service_model
from mooring.shells import completion_script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from mooring.cli.own.invocation import Invocation
    from mooring.protocol.service_model import ServiceModel

# Whoever presses the tab key does not wait long for names.
_PATIENCE = 1.0

# Options whose values are names, and where the server lists those.
_NAME_SOURCES = {
    "--blueprint-id": ("GetBlueprints", "blueprints"),
    "--disk-name": ("GetDisks", "disks"),
    "--source-disk-name": ("GetDisks", "disks"),
    "--disk-snapshot-name": ("GetDiskSnapshots", "diskSnapshots"),
    "--instance-name": ("GetInstances", "instances"),
    "--source-snapshot-name": ("GetActiveNames", "activeNames"),
    "--instance-snapshot-name": ("GetInstanceSnapshots", "instanceSnapshots"),
    "--resource-name": ("GetActiveNames", "activeNames"),
}


def show_script(_: Invocation | None, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    sys.stdout.write(completion_script(parsed.choice, "mooring"))
    return 0


def show_words(rest: list[str]) -> int:
    """Print what may stand at a place of a command line: its number, then all words."""
    found = candidates(service_model.load(), int(rest[0]), rest[1:])
    sys.stdout.writelines(f"{word}\n" for word in found)
    return 0


def candidates(model: ServiceModel, index: int, words: list[str]) -> list[str]:
    """What may stand at this place of the command line; words[0] is the program's own name."""
    current = words[index] if index < len(words) else ""
    before = words[index - 1] if 1 <= index <= len(words) else ""
    command = next((word for word in words[1:index] if not word.startswith("-")), None)
    own = OWN_COMMANDS.get(command or "")
    # An option that means something else to this command has none of the values known.
    has_other = own is not None and own.respelled([before]) != [before]
    found = None if has_other else _values(model, before, words[1:index])
    if found is None:
        found = _options_of(model, command)
    return [word for word in found if word.startswith(current)]


def _options_of(model: ServiceModel, command: str | None) -> list[str]:
    general = [option.split(" ")[0] for option in GLOBAL_OPTIONS]
    if command is None:
        return [*command_names(model.operations), *OWN_COMMANDS, *general]
    if command in OWN_COMMANDS:
        return OWN_COMMANDS[command].completions()
    served = model.operations.get(operation_name(command))
    return [] if served is None else [*arguments.options(model, served), *general]


def _values(model: ServiceModel, option: str, words: list[str]) -> list[str] | None:
    """Values of the option before the cursor, or None if another option may follow."""
    if option == "--output":
        return parser.OUTPUTS
    if option == "--color":
        return ["on", "off", "auto"]
    if option == "--generate-cli-skeleton":
        return ["input", "output", "yaml-input"]
    if option == "--profile":
        return list(Session(os.environ).files()["profiles"])
    if option in _NAME_SOURCES:
        return _names(model, option, words)
    return None


def _names(model: ServiceModel, option: str, words: list[str]) -> list[str]:
    """Names that the server knows; of the options typed so far, those that lead to it count."""
    operation_to_call, key = _NAME_SOURCES[option]
    parsed, _ = parser.split_global(words[:-1])
    options = Options(parsed)
    session = Session(os.environ, options.profile)
    client = operation.open_client(model, options, session, lambda value: value, v2=False)
    client.connection.attempts = 1
    client.connection.settings.connect_timeout = _PATIENCE
    client.connection.settings.read_timeout = _PATIENCE
    items = client.call(model.operations[operation_to_call], {}).get(key, [])
    return [
        # Of blueprints, the name is what people call them.
        item if isinstance(item, str) else item.get("blueprintId") or item["name"]
        for item in items
    ]
