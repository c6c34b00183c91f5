"""Runs a command as a unit's service may: only with the system calls that the unit allows.

filtered.py UNIT COMMAND...: SystemCallFilter with EPERM, MemoryDenyWriteExecute, NoNewPrivileges.
For
machines where systemd does not run. Needs Debian's python3-seccomp, and systemd-analyze.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import seccomp

WRITE, EXECUTE = 2, 4


def members(name: str) -> set[str]:
    """The system calls of a group, and of the groups in it."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", name]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [line.split()[0] for line in told.splitlines()[1:] if line.strip()]
    return {one for word in words if not word.startswith("#") for one in members(word)}


def allowed(unit: str) -> set[str]:
    found = members("@default")
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key == "SystemCallFilter":
            named = {one for word in value.removeprefix("~").split() for one in members(word)}
            found = found - named if value.startswith("~") else found | named
    return found


def main() -> None:
    unit = Path(sys.argv[1]).read_text(encoding="utf-8")
    assert "\nMemoryDenyWriteExecute=yes\n" in unit
    calls = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in sorted(allowed(unit) - {"mmap", "mprotect", "pkey_mprotect", "shmat"}):
        try:
            calls.add_rule(seccomp.ALLOW, name)
        except (ValueError, RuntimeError, OSError):
            continue  # of another architecture, or too new for this library
    for either in (seccomp.Arg(2, seccomp.MASKED_EQ, EXECUTE, 0),
                   seccomp.Arg(2, seccomp.MASKED_EQ, EXECUTE | WRITE, EXECUTE)):  # fmt: skip
        calls.add_rule(seccomp.ALLOW, "mmap", either)
    calls.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, EXECUTE, 0))
    calls.load()
    os.execvp(sys.argv[2], sys.argv[2:])


main()
