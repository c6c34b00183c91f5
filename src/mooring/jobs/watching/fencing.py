"""Asks the operator's command whether a silent host is dead, and fences it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from mooring.backend.backend import Backend
from mooring.jobs.watching.asked_command import AskedCommand
from mooring.model.errors import MooringError
from mooring.model.resources.host import HostState, SeenHost
from mooring.model.trouble import Trouble, TroubleKind
from mooring.observe.loop import Loop

LOOK_SECONDS = 2.0

AGAIN_SECONDS = 60.0
"""When the command is asked again about a host that it did not call dead."""

log = structlog.get_logger("mooring.hosts")

Fence = Callable[[SeenHost], str]
"""Fences that host and restores what it had elsewhere; says what is left to do.

Raises MooringError.
"""


class HostFencing:
    """A thread that looks for hosts which have not been heard of.

    About each, one server asks; where hosts share the layers of its disks, one that reaches them.
    It fences only what is silent still, and only where another host of a zone is up.
    """

    def __init__(
        self, backend: Backend, command: AskedCommand, fence: Fence, seconds: float
    ) -> None:
        """`seconds` is for how long the command may run."""
        self._backend, self._command, self._fence = backend, command, fence
        self._lease_ms = round((seconds + AGAIN_SECONDS + 30.0) * 1000)
        self._next: dict[str, float] = {}
        self._dead: set[str] = set()
        self._problems: dict[str, tuple[str, str]] = {}
        self._loop = Loop("host-fencing", self._round, wake=command.end)

    def start(self) -> None:
        if self._backend.catalog.is_for_many:
            self._loop.start()

    def stop(self) -> None:
        """May be called without `start`."""
        self._loop.stop()

    def troubles(self) -> list[Trouble]:
        """A sentence for each host that was not fenced, or not in full."""
        return [
            Trouble(kind=TroubleKind.HOST_NOT_FENCED, text=text, resource=name)
            for name, text in list(self._problems.values())
        ]

    def look(self) -> None:
        """Ask about each silent host whose time has come."""
        now, hosts = self._backend.clock.monotonic(), self._backend.hosts.all()
        for seen in hosts:
            host = seen.host
            dead = host.id in self._dead and seen.state is HostState.FENCED
            if host.id == self._backend.host or not (seen.is_silent or dead):
                for known in (self._next, self._problems):
                    known.pop(host.id, None)
                self._dead.discard(host.id)
            elif now >= self._next.get(host.id, 0.0) and self._is_ours(seen, hosts):
                self._next[host.id] = now + AGAIN_SECONDS
                if dead or self._is_dead(seen):
                    self._end(seen)

    def _is_ours(self, seen: SeenHost, hosts: Sequence[SeenHost]) -> bool:
        """Whether this server is to ask, and it would help anybody."""
        touched = seen.host.touched_zones
        others = [one for one in hosts if one.is_up and touched.intersection(one.host.zones)]
        shared = set(seen.host.shared_zones)
        here = {zone for zone, engine in list(self._backend.engines.items()) if engine.shared}
        if not others or (shared and not shared & here):
            return False
        with self._backend.catalog.write(durable=False) as transaction:
            return transaction.leads.take(
                f"fence {seen.host.id}",
                self._backend.this_server.id,
                self._lease_ms,
                self._backend.clock.now_ms(),
            )

    def _is_dead(self, seen: SeenHost) -> bool:
        """Ask the command; whether it says so, and the host is silent still."""
        host, silent = seen.host, str(seen.silent_ms // 1000)
        log.warning("a host is silent: the fence command is asked", host=host.name, seconds=silent)
        answer = self._command.ask(
            {
                "MOORING_HOST": host.name,
                "MOORING_HOST_ID": host.id,
                "MOORING_HOST_ADDRESS": host.address,
                "MOORING_SILENT_SECONDS": silent,
                "MOORING_SERVER": self._backend.this_server.name,
            }
        )
        if not answer.yes:
            self._tell(seen, f"is silent and not fenced: of hosts.fence_command, {answer.why}")
            return False
        self._backend.hosts.forget()
        again = self._backend.hosts.find(host.id)
        if again is None or not again.is_silent or again.generation != seen.generation:
            log.warning("a host called dead is heard of: it is not fenced", host=host.name)
            return False
        return True

    def _end(self, seen: SeenHost) -> None:
        """Fence it. What fails is tried again later, by this server alone."""
        self._dead.add(seen.host.id)
        try:
            left = self._fence(seen)
        except MooringError as error:
            self._tell(seen, f"was called dead, and not all of it is done: {error}")
            return
        if left:
            self._tell(seen, left)
            self._next[seen.host.id] = float("inf")
            return
        self._dead.discard(seen.host.id)
        self._problems.pop(seen.host.id, None)

    def _tell(self, seen: SeenHost, why: str) -> None:
        self._problems[seen.host.id] = seen.host.name, f"the host {seen.host.name} {why}"
        log.error("a host is not fenced as wished", host=seen.host.name, why=why)

    def _round(self) -> float:
        self.look()
        return LOOK_SECONDS
