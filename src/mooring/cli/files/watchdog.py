"""Stops a reading that goes in circles, as hostile file systems can cause."""

from __future__ import annotations

import signal

from mooring.model.errors import CommandError

SECONDS = 120
"""How long it may take to the next entry or piece of a file."""


class Watchdog:
    """Call `alive` whenever something was found; use `with`, in the main thread."""

    def __init__(self, what: str) -> None:
        self._what = what

    def alive(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)

    def __enter__(self) -> Watchdog:
        self._before = signal.signal(signal.SIGALRM, self._bark)
        self.alive()
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _bark(self, *_: object) -> None:
        raise CommandError(
            f"{self._what} was read for {SECONDS} seconds without result: the file system may be "
            "damaged, or go in circles."
        )
