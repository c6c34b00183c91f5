"""mooringd check: for monitoring systems that run plugins (Nagios, Icinga, Zabbix, ...)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from mooring.admin.access.env import variables
from mooring.admin.asking import ask, unwell
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
"""Exit codes that such systems know."""

_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_SHOWN = 20
_PATIENCE_SECONDS = 15.0


def check(settings: Settings) -> int:
    """Print one line with performance data, then a line for each trouble; the code is returned."""
    code, summary, more = _found(settings)
    print(f"MOORING {_WORDS[code]} - {summary}")
    for line in more:
        print(line.replace("|", "/"))
    return code


def _found(settings: Settings) -> tuple[int, str, list[str]]:
    paths = Paths(settings.data_directory)
    try:
        if not paths.data.is_dir():
            return UNKNOWN, f"{paths.data} is no data directory: name it with --data", []
        if not paths.server.exists():
            return CRITICAL, f"no server runs on {paths.data}", []
        bundle = os.environ.get("AWS_CA_BUNDLE") or settings.listen.certificate
        environment = {**variables(settings), "AWS_CA_BUNDLE": bundle}
    except PermissionError as error:
        return UNKNOWN, f"{error.filename}: {error.strerror}: run this as the server's user", []
    except ConfigurationError as error:
        return UNKNOWN, str(error), []
    try:
        problem = unwell(environment, _PATIENCE_SECONDS)
        told = ask(environment, "status", SystemClock(), _PATIENCE_SECONDS)
        return _judged(told, problem)
    except ConfigurationError as error:
        return CRITICAL, str(error), []
    except (KeyError, TypeError, ValueError) as error:
        return UNKNOWN, f"the server's answer is not understood ({error!r})", []


def _judged(told: Mapping[str, Any], problem: str | None) -> tuple[int, str, list[str]]:
    troubles = told["troubles"]
    shown = troubles["shown"]
    code = OK
    if troubles["count"]:
        code = CRITICAL if troubles["critical"] else WARNING
    disks = sum(one["disks"] for one in told["regions"])
    if problem is not None:
        code, summary = CRITICAL, problem
    elif troubles["count"]:
        summary = f"{counted(troubles['count'], 'trouble')}: {shown[0]['text']}"
    else:
        summary = f"{counted(disks, 'disk')}, all is well"
    lines = [f"{one['severity']}: {one['text']}" for one in shown[:_SHOWN]]
    return code, f"{_line(summary)} | {' '.join(_numbers(told))}", lines


def _line(text: str) -> str:
    """One line, without what separates performance data."""
    return " ".join(text.replace("|", "/").split())


def _numbers(told: Mapping[str, Any]) -> Iterator[str]:
    """Performance data: `'label'=value[unit]`."""
    regions = told["regions"]
    yield f"'disks'={sum(one['disks'] for one in regions)}"
    yield f"'snapshots'={sum(one['snapshots'] for one in regions)}"
    yield f"'pending'={sum(one['pendingSnapshots'] for one in regions)}"
    oldest = [one["oldestPendingAt"] for one in regions if one["oldestPendingAt"] is not None]
    age = max(0.0, told["at"] - min(oldest)) if oldest else 0.0
    yield f"'oldest_pending'={age:.0f}s"
    yield f"'late'={told['automatic']['late']}"
    yield f"'troubles'={told['troubles']['count']};;;0"
    seen: set[int] = set()
    for one in told["room"]:
        if one["device"] is not None and one["device"] not in seen:
            seen.add(one["device"])
            name = one["use"].replace("'", "").replace("=", "")
            yield f"'free {name}'={one['freeBytes']}B;;;0;{one['sizeBytes']}"
