"""Holds as processes of their own, one each: see holder.py."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import QuiesceError
from mooring.model.names import shown
from mooring.quiesce.holder import THAW_SECONDS
from mooring.quiesce.interface import COMMANDS, FILE_SYSTEMS, GUEST_AGENT, Rest, Users

_GRACE_SECONDS = 5.0
"""What a holder may take beyond the limits it keeps, on a busy machine."""

_SAID_BYTES = 16 * 1024
"""What the log keeps of what a holder said that failed."""

log = structlog.get_logger("mooring.quiesce")


@dataclass(frozen=True, slots=True)
class CommandPair:
    """The commands of one instance, for the shell; an empty one is left out."""

    freeze: str
    thaw: str


@dataclass(frozen=True, slots=True)
class Limits:
    """`freeze_seconds`: to come to rest. `hold_seconds`: at rest, at most.

    `agent_directories`: below which sockets of guest agents are connected to.
    """

    freeze_seconds: float = 5.0
    hold_seconds: float = 10.0
    agent_directories: Sequence[str] = ()


class ProcessQuiescer:
    """`folder` is for the files of holds, `spared` are paths on file systems never frozen."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        limits: Limits,
        commands: Mapping[str, CommandPair],
        spared: Sequence[Path],
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._limits = limits
        self._commands = commands
        self._spared = [str(path) for path in spared]
        self._lock = threading.Lock()
        self._lingering: list[subprocess.Popen[bytes]] = []

    def means(self, users: Users) -> Sequence[str]:
        return [spec["name"] for spec in self._specs(users)]

    def hold(self, users: Users) -> ProcessHold:
        self._reap()
        return self._begin(users.instance_id, self._specs(users), mend=False)

    def mend(self) -> Mapping[str, str]:
        self._reap()
        problems = {}
        for instance_id in self.left():
            hold = self._begin(instance_id, [], mend=True)
            hold.abandon()
            if hold.problems:
                problems[instance_id] = "; ".join(hold.problems.values())
        return problems

    def left(self) -> Sequence[str]:
        return [file.name for file in self._left()]

    def close(self) -> None:
        with self._lock:
            for process in self._lingering:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(THAW_SECONDS)

    def keep(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a holder's end some other time."""
        with self._lock:
            self._lingering.append(process)

    def lost(self, instance_id: str) -> None:
        """A holder was killed: thaw whom it held."""
        with contextlib.suppress(QuiesceError):
            self._begin(instance_id, [], mend=True).abandon()

    # ---

    def _specs(self, users: Users) -> list[dict[str, Any]]:
        specs: list[dict[str, Any]] = []
        pair = self._commands.get(users.instance_name)
        if pair is not None:
            environment = {
                "MOORING_INSTANCE": users.instance_name,
                "MOORING_DISKS": " ".join(users.disk_names),
            }
            specs.append(
                {
                    "name": COMMANDS,
                    "kind": "commands",
                    "freeze": pair.freeze,
                    "thaw": pair.thaw,
                    "environment": environment,
                }
            )
        if users.agent_socket is not None:
            socket = self._checked(users.agent_socket)
            specs.append({"name": GUEST_AGENT, "kind": "guest-agent", "socket": socket})
        specs += [
            {
                "name": FILE_SYSTEMS + device,
                "kind": "file-systems",
                "device": device,
                "spared": self._spared,
            }
            for device in users.devices.values()
        ]
        return specs

    def _checked(self, socket: str) -> str:
        """The path without symbolic links, if the settings allow to connect to it."""
        real = os.path.realpath(socket)
        for directory in self._limits.agent_directories:
            if Path(real).is_relative_to(os.path.realpath(directory)):
                return real
        raise QuiesceError(
            f"the guest agent's socket {socket} is not below a directory of the setting "
            f"quiesce.agent_directories ({', '.join(self._limits.agent_directories) or 'none'})"
        )

    def _begin(
        self, instance_id: str, specs: Sequence[Mapping[str, Any]], *, mend: bool
    ) -> ProcessHold:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        request = {
            "file": str(self._folder / instance_id),
            "means": specs,
            "freeze_seconds": self._limits.freeze_seconds,
            "hold_seconds": self._limits.hold_seconds,
            "mend": mend,
        }
        # In memory: a pipe that nobody reads fills up, and a file system may be full.
        said = os.fdopen(os.memfd_create("holder"), "w+b", buffering=0)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "mooring.quiesce.holder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            said.close()
            raise QuiesceError(f"the process that holds users at rest: {error}") from error
        names = [str(spec["name"]) for spec in specs]
        hold = ProcessHold(self, process, said, instance_id, names, self._clock)
        # Commands, and the time to notice that each is stuck, come on top.
        patience = self._limits.freeze_seconds + THAW_SECONDS + _GRACE_SECONDS
        hold.begin(request, patience)
        return hold

    def _left(self) -> list[Path]:
        if not self._folder.exists():
            return []
        return [file for file in sorted(self._folder.iterdir()) if self._is_left(file)]

    def _is_left(self, file: Path) -> bool:
        with file.open("rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False  # its holder lives
            return bool(opened.read(1))

    def _reap(self) -> None:
        with self._lock:
            self._lingering = [one for one in self._lingering if one.poll() is None]


class ProcessHold:
    """A hold by a process; it is over in any case when the pipes to it close."""

    def __init__(
        self,
        quiescer: ProcessQuiescer,
        process: subprocess.Popen[bytes],
        said: BinaryIO,
        instance_id: str,
        names: Sequence[str],
        clock: Clock,
    ) -> None:
        self.problems: Mapping[str, str] = {}
        self._quiescer = quiescer
        self._process = process
        self._said = said
        self._instance_id = instance_id
        self._names = names
        self._clock = clock

    def begin(self, request: Mapping[str, Any], patience: float) -> None:
        """Send the request and wait for the first answer. Raises QuiesceError."""
        try:
            self._write(json.dumps(request).encode() + b"\n")
            answer = self._answer(patience)
        except BaseException:
            self.abandon()
            raise
        self.problems = answer["problems"]

    def thaw(self) -> Rest:
        if set(self._names) <= self.problems.keys():
            # Nobody was at rest; thawing whoever may yet come to rest is the process' affair.
            self.abandon()
            return Rest(problems=self.problems)
        try:
            self._write(b"release\n")
            answer = self._answer(len(self._names) * THAW_SECONDS + _GRACE_SECONDS)
        except QuiesceError as error:
            return Rest(problems={**self.problems, "": str(error)})
        finally:
            self.abandon()
        return Rest(answer["held"], answer["problems"], answer["seconds"])

    def abandon(self) -> None:
        """Close the pipes: whoever is still held is thawed."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            self._quiescer.keep(self._process)
        self._said.close()

    def _write(self, text: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except OSError as error:
            raise self._killed() from error

    def _killed(self) -> QuiesceError:
        why = self._end()
        if self._names:
            self._quiescer.lost(self._instance_id)
        return QuiesceError(f"the process that holds users at rest {why}")

    def _end(self) -> str:
        """How it ended; what it said goes into the log, the last line of it into the error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        code = self._process.returncode
        said = os.pread(self._said.fileno(), _SAID_BYTES, 0).decode(errors="replace").strip()
        if code is None or code < 0 or not said:
            return "was killed"
        log.error("a process that holds users at rest ended", exit_code=code, said=said)
        return f"ended with exit code {code}: {shown(said.splitlines()[-1])}"

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = self._clock.monotonic() + seconds
        line = b""
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - self._clock.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise QuiesceError(
                    f"the process that holds users at rest was silent for "
                    f"{counted(seconds, 'second')}"
                )
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise self._killed()
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer
