"""Repeated log lines are counted, not written."""

from __future__ import annotations

import logging
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

from mooring.model.clock import Clock
from mooring.observe import metrics

WINDOW_SECONDS = 60.0
WRITTEN = 5
"""So many of the same kind are written in a window; the next window's first tells of the rest."""

MOST_KINDS = 1000
"""Kinds remembered at once; beyond that all are forgotten, and start over."""

_OWN = {"request_id", "timestamp", "level"}
"""Fields that differ in lines that say the same."""


class Repetition:
    """Decides which lines are written. May be used from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # When the window began, lines in it, lines left out.
        self._kinds: dict[object, tuple[float, int, int]] = {}

    def left_out(self, kind: object) -> int | None:
        """How many of the kind were left out before this line; None if it is left out as well."""
        now = self._clock.monotonic()
        with self._lock:
            begin, written, left = self._kinds.get(kind, (now, 0, 0))
            if now - begin >= WINDOW_SECONDS:
                begin, written = now, 0
            if written >= WRITTEN:
                self._kinds[kind] = (begin, written, left + 1)
                metrics.log_line_left_out()
                return None
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = (begin, written + 1, 0)
            return left

    def __call__(self, _logger: Any, method: str, line: MutableMapping[str, Any]) -> Any:
        """A processor of structlog: drops warnings and errors that repeat what was said."""
        if method not in {"warning", "error", "exception", "critical"}:
            return line
        texts = [f"{name}={value}" for name, value in line.items() if _tells(name, value)]
        left = self.left_out((method, *sorted(texts), _fault(line.get("exc_info"))))
        if left is None:
            raise structlog.DropEvent
        if left:
            line["like_this_left_out"] = left
        return line


class RepetitionFilter(logging.Filter):
    """The same for lines of the standard library's logging."""

    def __init__(self, repetition: Repetition) -> None:
        super().__init__()
        self._repetition = repetition

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, record.levelno, record.getMessage(), _fault(record.exc_info))
        return self._repetition.left_out(kind) is not None


def _tells(name: str, value: object) -> bool:
    return name not in _OWN and isinstance(value, str)


def _fault(exc_info: object) -> str:
    if isinstance(exc_info, tuple):
        return str(exc_info[0])
    return str(type(exc_info)) if isinstance(exc_info, BaseException) else str(exc_info)
