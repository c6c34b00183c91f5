"""Bringing a disk's users to rest, and thawing them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

COMMANDS = "commands"
GUEST_AGENT = "guest-agent"
FILE_SYSTEMS = "file-systems of "
"""Names of the means; the last is followed by the device."""


class Means(Protocol):
    """One way to bring users to rest. Used by one thread at a time."""

    @property
    def since(self) -> float | None:
        """From when on users may have been held back, in monotonic seconds; None before that."""
        ...

    def freeze(self, seconds: float) -> None:
        """Bring them to rest, or raise QuiesceError within about so many seconds.

        On an error somebody may be at rest nevertheless, or come to rest later: `thaw` is
        needed in any case.
        """
        ...

    def thaw(self, seconds: float) -> bool:
        """Let them write again; whether all had been at rest until now.

        Raises QuiesceError if it is not certain within about so many seconds that they go on:
        call it again. Once it has returned, calling it again does no harm.
        """
        ...

    def close(self) -> None:
        """Close what is open. Whoever is at rest stays so: another may thaw them."""
        ...


@dataclass(frozen=True, slots=True)
class Users:
    """Who may write to some disks of one instance.

    `devices` are block devices of this host, by the disk's id, `agent_socket` is where a guest
    agent listens.
    """

    instance_id: str
    instance_name: str
    disk_names: Sequence[str] = ()
    devices: Mapping[str, str] = field(default_factory=dict)
    agent_socket: str | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """What came of it: the means that held all the time, and what is wrong with the others.

    `seconds` is how long anybody was held at most, from the first freeze to the last thaw.
    """

    held: Sequence[str] = ()
    problems: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Hold(Protocol):
    """Users at rest, or what could be reached of that."""

    problems: Mapping[str, str]
    """Why means failed, by their names; whoever is not named is at rest now."""

    def thaw(self) -> Rest:
        """Thaw all. A means counts as held only if it was at rest until this call."""
        ...


class Quiescer(Protocol):
    """Holds users of disks at rest for a moment, never longer than a limit."""

    def means(self, users: Users) -> Sequence[str]:
        """The names of the means that there are for these users. Raises QuiesceError."""
        ...

    def hold(self, users: Users) -> Hold:
        """Bring the users to rest, each means in turn. Raises QuiesceError.

        Whatever happens to this process, they are thawed: immediately when it ends, or
        when the limit has passed. Holds of one instance wait for each other.
        """
        ...

    def mend(self) -> Mapping[str, str]:
        """Thaw whom a killed process held; says who cannot be thawed yet, and why.

        By the ids of instances; those are tried again for an hour in the background.
        """
        ...

    def left(self) -> Sequence[str]:
        """The ids of instances whose users may still be held by a process that is gone."""
        ...

    def close(self) -> None:
        """Thaw everybody at the server's end."""
        ...
