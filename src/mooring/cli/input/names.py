"""Names on the command line and in the API: disk-name and diskName."""

from __future__ import annotations

OWN_COMMANDS = (
    "wait",
    "uri",
    "device",
    "export",
    "import",
    "ls",
    "cp",
    "diff",
    "stat",
    "usage",
    "completion",
    "help",
)
"""Those that `aws lightsail` does not have."""


def option_name(member: str) -> str:
    """`sizeInGb` → `size-in-gb`. Every capital starts a word, as in all members served."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in member)


def command_name(operation: str) -> str:
    """`GetDisks` → `get-disks`."""
    return option_name(operation).lstrip("-")


def operation_name(command: str) -> str:
    """`get-disks` → `GetDisks`."""
    return "".join(word.capitalize() for word in command.split("-"))
