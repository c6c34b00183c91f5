"""Shows something again and again on a terminal, until it is interrupted."""

from __future__ import annotations

import sys

from mooring.model.clock import SystemClock
from mooring.streams import write_as_it_is

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_SECONDS = 2.0

_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def shown_again(make: Callable[[], Callable[[], None]], again: bool) -> int:
    """Show what is made once, or again and again; the exit code is returned.

    The screen is cleared only when there is something new to show: it does not flicker.
    """
    clock = SystemClock()
    while True:
        show = make()
        if again and sys.stdout.isatty():
            write_as_it_is(sys.stdout, _CLEAR)
        show()
        sys.stdout.flush()
        if not again:
            return 0
        clock.sleep(EVERY_SECONDS)
