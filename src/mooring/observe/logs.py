"""Log lines: one JSON object each; readable on a terminal."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import structlog

from mooring.model.clock import SystemClock
from mooring.observe.repetition import Repetition, RepetitionFilter
from mooring.streams import Unbreakable

HIDDEN = "(hidden)"
_SECRET = re.compile("secret|password|token|authorization|signature|credential", re.IGNORECASE)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Write log lines of this level and above, by default to standard error.

    Lines of libraries that use the standard library's logging come out alike.
    """
    out = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    repetition = Repetition(SystemClock())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    if out.isatty():
        # The default would show local variables, and so secrets. Without colours: escape sequences
        # are shown rather than obeyed, whoever wrote them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        processors.append(structlog.processors.format_exc_info)
    safe: Any = out if isinstance(out, Unbreakable) else Unbreakable(out)
    structlog.configure(
        processors=[repetition, *processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(safe),
    )
    handler = logging.StreamHandler(safe)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *processors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(RepetitionFilter(repetition))
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries tell at `info` what is of no use to an operator.
    root.setLevel(max(number, logging.WARNING))


def _hide_secrets(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> Any:
    for name in line:
        if _is_secret(name):
            line[name] = HIDDEN
    return line


@lru_cache(1000)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None
