"""Retrying what failed: what, how often, and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mooring.model.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a store in a network is waited for."""

    request_seconds: float = 60.0
    """How long one request may take that does not send a segment."""

    upload_seconds: float = 600.0
    """How long a segment may take: two at once need 220 KiB a second."""

    retry_seconds: float = 120.0
    """How long a failing request is repeated, after pauses that grow and vary."""

    pauses: tuple[float, ...] = (0.1, 0.4, 1.6)
    """After these, roughly, what failed at once is tried again, as often as there are pauses."""

    at_once_seconds: float = 1.0
    """What failed later than that has been repeated already."""


PATIENCE = Patience()


class Retrying:
    """Does again what failed at once, as obstore does not when an answer was interrupted."""

    def __init__(
        self,
        clock: Clock,
        patience: Patience,
        failures: type[BaseException],
        answers: tuple[type[BaseException], ...],
    ) -> None:
        """`failures` may pass; `answers`, some of which are failures, too, do not."""
        self._clock = clock
        self._patience = patience
        self._failures = failures
        self._answers = answers

    def __call__(self, work: Callable[[], T]) -> T:
        """Only for what may be repeated."""
        for pause in self._patience.pauses:
            began = self._clock.monotonic()
            try:
                return work()
            except self._answers:
                raise
            except self._failures:
                if self._clock.monotonic() - began > self._patience.at_once_seconds:
                    raise
            self._clock.sleep(pause * random.uniform(0.5, 1.5))
        return work()
