"""Names on the command line and in the API: disk-name and diskName."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_COMMANDS = frozenset({"GetProfile", "GetSubdomains"})
"""Operations of the service's model that `aws lightsail` does not have as commands either."""

_IRREGULAR = {"GetContainerAPIMetadata": "get-container-api-metadata"}


def option_name(member: str) -> str:
    """`sizeInGb` → `size-in-gb`. Every capital starts a word, as in all members served."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in member)


def command_name(operation: str) -> str:
    """`GetDisks` → `get-disks`."""
    return _IRREGULAR.get(operation) or option_name(operation).lstrip("-")


def command_names(operations: Iterable[str]) -> list[str]:
    """The commands for these operations, as far as there are any."""
    return [command_name(name) for name in operations if name not in NOT_COMMANDS]


def operation_name(command: str) -> str:
    """`get-disks` → `GetDisks`."""
    for operation, irregular in _IRREGULAR.items():
        if command == irregular:
            return operation
    return "".join(word.capitalize() for word in command.split("-"))
