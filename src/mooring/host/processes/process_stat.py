"""What /proc says in one line of a process."""

from __future__ import annotations

from pathlib import Path

_STATE, _STARTED = 0, 19
"""Places after the name of the command, which is the second field (proc_pid_stat(5))."""

_ENDED = ("Z", "X")


def state_of(pid: int) -> str:
    """What it does, as one letter: R runs, Z has ended and is waited for; empty if it is gone."""
    return _after_name(pid)[_STATE]


def started_at(pid: int) -> int:
    """When it was started, in ticks since boot; 0 if it has ended, or is not seen."""
    fields = _after_name(pid)
    return 0 if fields[_STATE] in ("", *_ENDED) else int(fields[_STARTED])


def _after_name(pid: int) -> list[str]:
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        line = ""
    # The name may hold blanks and brackets.
    return line.rpartition(")")[2].split() or [""]
