"""The standard streams of each program: closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import sys

from mooring.model.errors import OutputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


class OutputGoneError(OutputError):
    """Nobody reads standard output any more: they have seen enough."""


class Output:
    """Standard output. Raises OutputError where the system refuses to write.

    When its reader has gone, it raises OutputGoneError or, if it `goes_on`, lets what is written
    vanish: work whose outcome counts must not end because nobody looks on.
    """

    def __init__(self, stream: TextIO, goes_on: bool) -> None:
        self._stream = stream
        self._goes_on = goes_on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._refused(error)
            return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        # What is still in memory must go somewhere, or the interpreter complains at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"Standard output cannot be written: {error.strerror}") from None
        if not self._goes_on:
            raise OutputGoneError("Nobody reads standard output any more") from None


class Unbreakable:
    """A stream whose writes never fail: nothing may fail because no one reads its messages."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def secure(goes_on: bool) -> None:
    """Make this process's standard streams safe to use; each program begins with it.

    Streams that are closed are opened on /dev/null, so that no file or socket gets their numbers:
    writing to standard output fails then, messages vanish.
    """
    # In this order: each gets the lowest number that is free.
    if sys.stdin is None:
        sys.stdin = os.fdopen(_nowhere(os.O_RDONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(_nowhere(os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(_nowhere(os.O_WRONLY), "w", encoding="utf-8")
    output: Any = Output(sys.stdout, goes_on)
    errors: Any = Unbreakable(sys.stderr)
    sys.stdout, sys.stderr = output, errors


def _nowhere(flags: int) -> int:
    number = os.open(os.devnull, flags)
    os.set_inheritable(number, True)
    return number
