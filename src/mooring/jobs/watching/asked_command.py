"""A command of the operator's own that is asked a question."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the command ended with 0, and otherwise how it ended, with its last words."""

    yes: bool
    why: str = ""


class AskedCommand:
    """Runs a program, not a shell, in a group of its own; one at a time."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        """`seconds` is for how long it may run; then it is ended, with all that it started."""
        self._command, self._seconds = list(command), seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def ask(self, variables: Mapping[str, str]) -> Answer:
        """Run it with these variables besides those of this process, and nothing to read.

        Only an exit with 0 in time is a yes.
        """
        # A file, because what it leaves running may hold a pipe open.
        with tempfile.TemporaryFile() as said:
            with self._lock:
                if self._ended:
                    return Answer(False, "the server ends")
                try:
                    process = self._process = subprocess.Popen(
                        self._command,
                        stdin=subprocess.DEVNULL,
                        stdout=said,
                        stderr=said,
                        env={**os.environ, **variables},
                        cwd="/",
                        start_new_session=True,
                    )
                except OSError as error:
                    return Answer(False, f"{self._command[0]}: {error.strerror}")
            try:
                code = process.wait(self._seconds)
            except subprocess.TimeoutExpired:
                return Answer(False, f"it was ended after {self._seconds:g} s")
            finally:
                with self._lock:
                    _end(process)
                    self._process = None
            said.seek(max(0, said.tell() - _SHOWN))
            words = " ".join(said.read().decode(errors="replace").split())
            return Answer(code == 0, f"it ended with {code}" + (f": {words}" if words else ""))

    def end(self) -> None:
        """End it if it runs, and start none any more."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                _end(self._process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group; the process itself may have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
