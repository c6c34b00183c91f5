"""A guest's file systems, frozen by QEMU's guest agent at its socket.

After a time-out the answers to what was asked before may still come: so each talk begins with
`guest-sync-delimited`, whose answer begins with a byte that is in no JSON. An agent that was
told to freeze and fell silent may freeze later: the thaw is sent behind on the same connection,
so that it comes after the freeze in the agent's line.
"""

from __future__ import annotations

import json
import secrets
import socket
from typing import Any

from mooring.model.clock import Clock
from mooring.model.errors import QuiesceError
from mooring.streams import shown

_DELIMITER = b"\xff"
_LEAST_SECONDS = 0.001
_LONGEST_ANSWER = 1 << 20
_LONGEST_WHY = 200
_BUSY_PAUSE = 0.05


class _GoneError(QuiesceError):
    """Nobody listens at the socket."""


class GuestAgent:
    """The agent that listens at the socket `path`: QEMU's end of its channel, or its own."""

    def __init__(self, path: str, clock: Clock) -> None:
        self.since: float | None = None
        self._path = path
        self._clock = clock
        self._socket: socket.socket | None = None
        self._buffer = b""

    def freeze(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        self._synchronise(deadline)
        if self._state(deadline) != "thawed":
            raise QuiesceError(f"{self._who} has already frozen its file systems for somebody else")
        self.since = self._clock.monotonic()
        if not self._ask("guest-fsfreeze-freeze", deadline):
            raise QuiesceError(f"{self._who} has no file system that it can freeze")

    def thaw(self, seconds: float) -> bool:
        deadline = self._clock.monotonic() + seconds
        try:
            self._synchronise(deadline)
            thawed = self._ask("guest-fsfreeze-thaw", deadline)
            state = self._state(deadline)
        except _GoneError:
            return False  # and so is its guest
        if state != "thawed":
            raise QuiesceError(f"{self._who} says that its file systems are still {state}")
        self.close()
        return bool(thawed)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def _who(self) -> str:
        return f"the guest agent at {self._path}"

    def _synchronise(self, deadline: float) -> None:
        if self._socket is None:
            self._connect(deadline)
        number = secrets.randbits(31)
        message = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        # The delimiter makes an agent give up a message of which it has got only a part.
        self._send(_DELIMITER + json.dumps(message).encode() + b"\n", deadline)
        while True:
            line = self._line(deadline)
            _, found, answer = line.rpartition(_DELIMITER)
            if found and _parsed(answer).get("return") == number:
                return

    def _state(self, deadline: float) -> str:
        state = self._ask("guest-fsfreeze-status", deadline)
        if state not in ("thawed", "frozen"):
            raise QuiesceError(f"{self._who} does not say whether its file systems are frozen")
        return str(state)

    def _ask(self, command: str, deadline: float) -> Any:
        self._send(json.dumps({"execute": command}).encode() + b"\n", deadline)
        answer = _parsed(self._line(deadline))
        if "error" in answer:
            error = answer["error"]
            text = error.get("desc") if isinstance(error, dict) else error
            raise QuiesceError(f"{self._who} refused {command}: {shown(str(text)[:_LONGEST_WHY])}")
        return answer.get("return")

    def _connect(self, deadline: float) -> None:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(self._left(deadline))
            try:
                connection.connect(self._path)
            except BlockingIOError:
                # Others wait in line before us.
                connection.close()
                if self._clock.monotonic() + _BUSY_PAUSE > deadline:
                    raise QuiesceError(f"{self._who} is in use by others") from None
                self._clock.sleep(_BUSY_PAUSE)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                connection.close()
                raise _GoneError(f"{self._who} is not there: {error.strerror}") from error
            except OSError as error:
                connection.close()
                raise QuiesceError(f"{self._who} cannot be reached: {error}") from error
            else:
                self._socket, self._buffer = connection, b""
                return

    def _send(self, message: bytes, deadline: float) -> None:
        assert self._socket is not None
        try:
            self._socket.settimeout(self._left(deadline))
            self._socket.sendall(message)
        except OSError as error:
            raise self._lost(error) from error

    def _line(self, deadline: float) -> bytes:
        assert self._socket is not None
        while True:
            # Who never stops talking must not keep us, nor others that are at rest meanwhile.
            if self._clock.monotonic() > deadline + _LEAST_SECONDS:
                raise self._lost(TimeoutError())
            if b"\n" in self._buffer:
                break
            try:
                self._socket.settimeout(self._left(deadline))
                received = self._socket.recv(1 << 16)
                if not received:
                    raise ConnectionResetError("it closed the connection")
            except OSError as error:
                raise self._lost(error) from error
            self._buffer += received
            if len(self._buffer) > _LONGEST_ANSWER:
                raise self._lost(ConnectionAbortedError("what it says is not an answer"))
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _lost(self, error: OSError) -> QuiesceError:
        if isinstance(error, TimeoutError):
            # The connection stays: a thaw sent now comes after what is in the agent's line.
            return QuiesceError(f"{self._who} does not answer")
        self.close()
        return QuiesceError(f"{self._who} is lost: {error}")

    def _left(self, deadline: float) -> float:
        return max(_LEAST_SECONDS, deadline - self._clock.monotonic())


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
