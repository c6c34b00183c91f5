"""A lane: jobs of some kinds, and how the threads that run them sleep."""

from __future__ import annotations

import threading
from collections.abc import Collection

from mooring.model.resources.job_kind import JobKind


class Lane:
    """Jobs of some kinds, and the threads that run them.

    A thread sleeps only if there has been no news since before it looked. `gives_way`: each job
    lets requests go first.
    """

    def __init__(
        self, name: str, kinds: Collection[JobKind], threads: int, *, gives_way: bool = False
    ) -> None:
        self.name, self.kinds, self.threads = name, kinds, threads
        self.gives_way = gives_way
        self._changed = threading.Condition()
        self._news = 0
        self._turn = False

    @property
    def news(self) -> int:
        """How much news there has been."""
        return self._news

    def turn(self) -> bool:
        """Whether the next job is to be taken by when it is due, not by its age: every other one.

        Neither has what can be done to wait behind many that are tried again and again, nor these
        behind new ones of which there is no end.
        """
        with self._changed:
            self._turn = not self._turn
            return self._turn

    def tell(self, jobs: int) -> None:
        """So many more jobs can be run: as many threads look, or all."""
        with self._changed:
            self._news += 1
            self._changed.notify(jobs)

    def sleep(self, seconds: float, news: int) -> None:
        """Sleep until there is more news than that, or for so long."""
        with self._changed:
            if self._news == news:
                self._changed.wait(seconds)
