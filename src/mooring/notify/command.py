"""A message by a command of the operator's own."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from mooring.model.errors import NotifyError
from mooring.notify.message import Message

SECONDS = 30.0
"""For how long the command may run."""

_SHOWN = 200


class Command:
    """Runs a shell command with the text as its standard input, and the subject as a variable.

    It is in a group of its own, and ended with all that it started if it takes too long.
    """

    name = "command"

    def __init__(self, command: str, seconds: float = SECONDS) -> None:
        self._command, self._seconds = command, seconds

    def send(self, message: Message) -> None:
        environment = {**os.environ, "MOORING_SUBJECT": message.subject}
        environment["MOORING_SERVER"] = message.server
        with subprocess.Popen(
            ["/bin/sh", "-c", self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        ) as process:
            try:
                _, said = process.communicate(message.text.encode(), self._seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                raise NotifyError(f"the command was ended after {self._seconds:g} s") from None
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            words = " ".join(said.decode(errors="replace").split())[:_SHOWN]
            raise NotifyError(f"the command ended with {process.returncode}: {words}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # What it left behind may hold the pipe open.
    if process.stderr is not None:
        process.stderr.close()
    process.wait()
