"""A quiescer that holds nobody, for tests: it does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mooring.model.errors import QuiesceError
from mooring.quiesce.interface import COMMANDS, FILE_SYSTEMS, GUEST_AGENT, Hold, Rest, Users


@dataclass
class MemoryQuiescer:
    """`commands` names instances that have some.

    Means named in `failing` cannot be brought to rest, those in `slipping` are thawed too early.
    """

    commands: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)
    slipping: dict[str, str] = field(default_factory=dict)
    forbidden: str = ""
    """A problem with any guest agent's socket."""
    when_held: Callable[[], None] = lambda: None
    holds: int = 0
    """How many have begun."""
    held: set[str] = field(default_factory=set)
    """Who is at rest now."""

    def means(self, users: Users) -> Sequence[str]:
        found = [COMMANDS] if users.instance_name in self.commands else []
        if users.agent_socket is not None:
            if self.forbidden:
                raise QuiesceError(self.forbidden)
            found.append(GUEST_AGENT)
        return [*found, *(FILE_SYSTEMS + device for device in users.devices.values())]

    def hold(self, users: Users) -> Hold:
        names = self.means(users)
        self.holds += 1
        problems = {name: self.failing[name] for name in names if name in self.failing}
        self.held = {name for name in names if name not in problems}
        self.when_held()
        return _MemoryHold(self, problems)

    def mend(self) -> Mapping[str, str]:
        return {}

    def left(self) -> Sequence[str]:
        return []

    def close(self) -> None:
        """Nothing is held outside of the object."""


class _MemoryHold:
    def __init__(self, quiescer: MemoryQuiescer, problems: Mapping[str, str]) -> None:
        self.problems = problems
        self._quiescer = quiescer

    def thaw(self) -> Rest:
        held, self._quiescer.held = self._quiescer.held, set()
        slipped = {n: why for n, why in self._quiescer.slipping.items() if n in held}
        return Rest(sorted(held - slipped.keys()), {**self.problems, **slipped}, 0.001)
