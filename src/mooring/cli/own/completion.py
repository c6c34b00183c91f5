"""mooring completion: makes shells complete commands, options and names."""

from __future__ import annotations

import os
import sys

from mooring.cli import operation
from mooring.cli.connection.session import Session
from mooring.cli.help import pages as help_pages
from mooring.cli.help.texts import GLOBAL_OPTIONS
from mooring.cli.input import arguments, parser
from mooring.cli.input.names import OWN_COMMANDS, command_names, operation_name
from mooring.cli.options import Options
from mooring.cli.own import facts
from mooring.cli.own.wait import WAITERS
from mooring.protocol import service_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mooring.protocol.service_model import ServiceModel

# Whoever presses the tab key does not wait long for names.
_PATIENCE = 1.0

# Options whose values are names, and where the server lists those.
_NAME_SOURCES = {
    "--disk-name": ("GetDisks", "disks"),
    "--source-disk-name": ("GetDisks", "disks"),
    "--disk-snapshot-name": ("GetDiskSnapshots", "diskSnapshots"),
    "--instance-name": ("GetInstances", "instances"),
    "--source-snapshot-name": ("GetActiveNames", "activeNames"),
    "--instance-snapshot-name": ("GetInstanceSnapshots", "instanceSnapshots"),
    "--resource-name": ("GetActiveNames", "activeNames"),
}

_SCRIPTS = {
    "bash": """\
_mooring() {
    local words
    words=$(mooring completion words "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _mooring mooring
""",
    "zsh": """\
#compdef mooring
_mooring() {
    local -a words_found
    words_found=("${(@f)$(mooring completion words $((CURRENT - 1)) "${words[@]}" 2>/dev/null)}")
    compadd -- "${words_found[@]}" || _files
}
compdef _mooring mooring
""",
    "fish": """\
function __mooring_words
    set -l words (commandline -opc) (commandline -ct)
    mooring completion words (math (count $words) - 1) $words 2>/dev/null
end
complete -c mooring -f -a '(__mooring_words)'
""",
}


def run(rest: list[str]) -> int:
    """Run the command with the arguments in `rest`; the exit code is returned."""
    if not rest or rest[-1] in {"--help", "-h"} or rest == ["help"]:
        return _show_help()
    if rest[0] == "words":
        found = candidates(service_model.load(), int(rest[1]), rest[2:])
        sys.stdout.writelines(f"{word}\n" for word in found)
        return 0
    shell, _ = parser.take_command(rest, _SCRIPTS)
    sys.stdout.write(_SCRIPTS[shell])
    return 0


def candidates(model: ServiceModel, index: int, words: list[str]) -> list[str]:
    """What may stand at this place of the command line; words[0] is the program's own name."""
    current = words[index] if index < len(words) else ""
    before = words[index - 1] if 1 <= index <= len(words) else ""
    command = next((word for word in words[1:index] if not word.startswith("-")), None)
    found = _values(model, before, words[1:index])
    if found is None:
        found = _options_of(model, command)
    return [word for word in found if word.startswith(current)]


def _options_of(model: ServiceModel, command: str | None) -> list[str]:
    general = [option.split(" ")[0] for option in GLOBAL_OPTIONS]
    if command is None:
        return [*command_names(model.operations), *OWN_COMMANDS, *general]
    if command == "wait":
        return [*WAITERS, *{option for option, _ in WAITERS.values()}, "--timeout"]
    if command in {"uri", "device"}:
        return ["--disk-name"]
    if command == "export":
        return ["--disk-snapshot-name", "--seconds", "--tcp", "--format", "--output"]
    if command == "import":
        return ["--disk-snapshot-name", "--format", "--disk-size-in-gb", "--tags"]
    if command in {"ls", "cp"}:
        return ["--disk-snapshot-name", "--path", "--partition"]
    if command == "diff":
        return ["--from", "--to"]
    if command == "stat":
        return [*facts.KINDS, "--json"]
    if command == "usage":
        return ["--json"]
    if command == "completion":
        return list(_SCRIPTS)
    served = model.operations.get(operation_name(command))
    return [] if served is None else [*arguments.options(model, served), *general]


def _values(model: ServiceModel, option: str, words: list[str]) -> list[str] | None:
    """Values of the option before the cursor, or None if another option may follow."""
    if option == "--output" and "export" not in words:
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
    return [item if isinstance(item, str) else item["name"] for item in items]


def _show_help() -> int:
    return help_pages.show_own(
        "completion - complete commands in the shell",
        "mooring completion bash|zsh|fish",
        [
            "Prints a script for the shell. It completes commands, options, and names of disks, "
            "snapshots and instances, which it asks the server for.",
            'bash: eval "$(mooring completion bash)" in ~/.bashrc',
            'zsh: eval "$(mooring completion zsh)" in ~/.zshrc, after compinit',
            "fish: mooring completion fish | source, in ~/.config/fish/config.fish",
        ],
        {"bash, zsh, fish": "The shell."},
    )
