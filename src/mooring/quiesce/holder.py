"""The process that holds users at rest: it outlives the server and thaws them.

It gets its task as one line of JSON on its standard input, brings the users to rest, reports
that in one line, and thaws them when the next line comes, when its input closes because the
server has ended, or when the limit has passed; then it reports the result. Users that cannot
be thawed are retried for an hour.

The instance's file in the folder of holds is locked meanwhile, and names who is held. What it
still names when nobody has it locked was held by a process that was killed: the next one thaws
that first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from typing import Any

from mooring.model.clock import Clock, SystemClock
from mooring.model.counts import counted
from mooring.model.errors import QuiesceError
from mooring.quiesce.commands import Commands
from mooring.quiesce.file_systems import FileSystems
from mooring.quiesce.guest_agent import GuestAgent
from mooring.quiesce.interface import Means

THAW_SECONDS = 5.0
"""How long one attempt to thaw may take."""

_LINGER_SECONDS = 3600.0
_LOCK_PAUSE = 0.005
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0

Spec = Mapping[str, Any]


def make_means(spec: Spec, clock: Clock) -> Means:
    """The means that a specification stands for."""
    if spec["kind"] == "commands":
        return Commands(spec["freeze"], spec["thaw"], spec["environment"], clock)
    if spec["kind"] == "guest-agent":
        return GuestAgent(spec["socket"], clock)
    return FileSystems(spec["device"], spec["spared"], clock)


class Holder:
    """One hold; `request` is what `process.py` sends."""

    def __init__(self, request: Mapping[str, Any], clock: Clock) -> None:
        self._clock = clock
        self._freeze_seconds = float(request["freeze_seconds"])
        self._hold_seconds = float(request["hold_seconds"])
        self._specs: list[Spec] = list(request["means"])
        self._path = str(request["file"])
        self._only_mend = bool(request["mend"])
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)

    def run(self) -> None:
        """Do it all."""
        deadline = self._clock.monotonic() + self._freeze_seconds
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._lock(file, deadline):
            self._say_all("is held at rest for another snapshot, or cannot be thawed")
            return
        if left := self._mend(file):
            self._say_all("cannot be thawed since an earlier snapshot: " + left)
        if self._only_mend:
            self._say_all("")
        if left or self._only_mend:
            return
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(self._specs).encode(), 0)
        if not self._hold(deadline):
            os.ftruncate(file, 0)

    def _hold(self, deadline: float) -> dict[str, Means]:
        """Bring to rest, wait, thaw; returns who could not be thawed."""
        means: dict[str, Means] = {}
        problems: dict[str, str] = {}
        for spec in self._specs:
            name = spec["name"]
            means[name] = make_means(spec, self._clock)
            try:
                means[name].freeze(max(0.0, deadline - self._clock.monotonic()))
            except (QuiesceError, OSError) as error:
                problems[name] = str(error)
        _say({"problems": problems})
        released = self._wait(self._hold_seconds)
        held, stuck = self._thaw(means, problems)
        began = [one.since for one in means.values() if one.since is not None]
        seconds = self._clock.monotonic() - min(began) if began else 0.0
        if not released:
            held_for = counted(self._hold_seconds, "second")
            limit = f"was thawed after {held_for}, before the disk was frozen"
            problems |= dict.fromkeys(held, limit)
            held = []
            self._wait(None)
        _say({"held": held, "problems": problems, "seconds": seconds})
        return self._linger(stuck)

    def _thaw(
        self, means: Mapping[str, Means], problems: dict[str, str]
    ) -> tuple[list[str], dict[str, Means]]:
        """Thaw in the opposite order: who had been at rest until now, and who is stuck."""
        held, stuck = [], {}
        for name in reversed(list(means)):
            failed = name in problems
            try:
                if means[name].thaw(THAW_SECONDS) and not failed:
                    held.append(name)
                elif not failed:
                    problems[name] = "was thawed by somebody else before the disk was frozen"
            except (QuiesceError, OSError) as error:
                stuck[name] = means[name]
                problems.setdefault(name, str(error))
        return held, stuck

    def _linger(self, stuck: dict[str, Means]) -> dict[str, Means]:
        """Go on trying to thaw; returns who could not be."""
        ends = self._clock.monotonic() + _LINGER_SECONDS
        pause = _FIRST_PAUSE
        while stuck and self._clock.monotonic() < ends:
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            _, stuck = self._thaw(stuck, {})
        return stuck

    def _mend(self, file: int) -> str:
        """Let go whom a holder that was killed still held; returns who is left, and why."""
        text = os.pread(file, os.fstat(file).st_size, 0)
        specs: list[Spec] = []
        with contextlib.suppress(ValueError):
            specs = json.loads(text) if text else []
        means = {spec["name"]: make_means(spec, self._clock) for spec in specs}
        problems: dict[str, str] = {}
        _, stuck = self._thaw(means, problems)
        left = "; ".join(f"{name}: {problems[name]}" for name in stuck)
        if stuck and self._only_mend:
            self._say_all(left)
            stuck = self._linger(stuck)
        if not stuck:
            os.ftruncate(file, 0)
        return left

    def _lock(self, file: int, deadline: float) -> bool:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._only_mend or self._clock.monotonic() > deadline:
                    return False
                self._clock.sleep(_LOCK_PAUSE)
            else:
                return True

    def _wait(self, seconds: float | None) -> bool:
        """Wait to be told to thaw; False if that did not come in time, or never will."""
        ready, _, _ = select.select([0, self._wake], [], [], seconds)
        return 0 in ready and bool(os.read(0, 64))

    def _say_all(self, problem: str) -> None:
        names = [spec["name"] for spec in self._specs]
        _say({"problems": dict.fromkeys(names or ["mend"], problem) if problem else {}})


def _say(message: Mapping[str, object]) -> None:
    # Nobody may be there any more to hear it.
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """The process."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            sys.exit("no request came")
        line += piece
    Holder(json.loads(line), SystemClock()).run()
    # What an interpreter does at its end would only delay the reply.
    os._exit(0)


if __name__ == "__main__":
    main()
