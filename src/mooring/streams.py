"""The standard streams of each program: closed, full, or without a reader."""

from __future__ import annotations

import os
import sys

from mooring.model.errors import OutputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


_SHOWN = {
    **{code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))},
    **{
        code: f"\\u{code:04x}"
        for code in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    },
}
"""How control characters are shown that are no line breaks and no tabs, and marks of direction."""


def shown(text: str) -> str:
    """The text with nothing in it that a terminal obeys: others wrote much of what is printed."""
    # Most lines have nothing of it, and to look is much quicker than to translate.
    if text.isprintable() or (text[:-1].isprintable() and text[-1] == "\n"):
        return text
    return text.translate(_SHOWN)


def one_line(text: str) -> str:
    """The same without line breaks and tabs either: nothing in it can pass for a line of ours."""
    return shown(text).replace("\n", "\\x0a").replace("\t", "\\x09")


class OutputGoneError(OutputError):
    """Nobody reads standard output any more: they have seen enough."""


class Output:
    """Standard output. Raises OutputError where the system refuses to write.

    When its reader has gone, it raises OutputGoneError or, if it `goes_on`, lets what is written
    vanish: work whose outcome counts must not end because nobody looks on.

    Control characters are shown rather than obeyed on a terminal, and everywhere by who `goes_on`:
    what the user's command prints elsewhere is for programs, which want it as it is.
    """

    def __init__(self, stream: TextIO, goes_on: bool) -> None:
        self._stream = stream
        self._goes_on = goes_on
        self._shows = goes_on or stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self.write_as_it_is(shown(text) if self._shows else text)

    def write_as_it_is(self, text: str) -> int:
        """Write with control characters of our own in it."""
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
    """A stream whose writes never fail: nothing may fail because no one reads its messages.

    It shows control characters rather than to have them obeyed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self.write_as_it_is(shown(text))

    def write_as_it_is(self, text: str) -> int:
        """Write with control characters of our own in it."""
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


def write_as_it_is(stream: Any, text: str) -> None:
    """Write with control characters of our own in it, on one of these streams or another."""
    getattr(stream, "write_as_it_is", stream.write)(text)
