"""Finds processes, mounts and loop devices that tests left behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from mooring.model.paths import run_directory

MARK = "MOORING_TEST_MARK"
ROOT = "MOORING_TEST_ROOT"

LONG = 100 * "-"
"""A zone with which no directory of sockets fits below the data."""

# Started by Python itself, for the whole life of the process that uses multiprocessing.
PYTHONS_OWN = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")


def remove_sockets(folder: Path) -> None:
    """Remove what killed servers whose data are in the folder have left elsewhere.

    That is their directories of sockets, where the path of the data was too long for those.
    """
    prefix = run_directory(Path("/"), [LONG], os.getuid()).with_name("mooring-")
    if any(prefix.parent.glob(f"{prefix.name}*")):
        for above, names, _ in os.walk(folder):
            for name in names:
                short = run_directory(Path(above, name), [LONG], os.getuid())
                shutil.rmtree(short, ignore_errors=True)


class Leaks:
    """One run of tests: its root for short-lived files, its mark on what it starts.

    The mark is an environment variable: children inherit it, and keep it when they turn into
    daemons, so that daemons are found too and those of other runs are not taken for ours.
    Workers of pytest-xdist have marks of their own, and share the root of the run.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        os.environ[MARK] = self.token
        self.worker = "PYTEST_XDIST_WORKER" in os.environ
        if self.worker:
            self.root = Path(os.environ[ROOT])
        else:
            self.root = Path(tempfile.mkdtemp(prefix="m-", dir="/tmp"))
            os.environ[ROOT] = str(self.root)

    def close(self) -> None:
        """Remove the root; files left there by tests that failed go with it."""
        if not self.worker:
            remove_sockets(self.root)
            shutil.rmtree(self.root, ignore_errors=True)

    def end_all(self, controller: bool) -> list[str]:
        """End what is left and return a line about each.

        `controller` says that the tests ran in workers, which look after their own processes.
        """
        found = [] if controller else self._end_processes()
        if not self.worker:
            found += [*self._unmount(), *self._detach_loop_devices()]
        return found

    def _end_processes(self) -> list[str]:
        mark = f"{MARK}={self.token}".encode()
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            pid = int(directory.name)
            try:
                environment = (directory / "environ").read_bytes().split(b"\0")
                command = (directory / "cmdline").read_bytes()
                # Behind the command name, which may hold blanks and brackets.
                state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if pid == os.getpid() or any(name in command for name in PYTHONS_OWN):
                continue
            if mark in environment or int(parent) == os.getpid():
                text = command.replace(b"\0", b" ").decode(errors="replace").strip()
                found.append(f"process {pid} ({state}): {text or 'no command line'}")
                os.kill(pid, signal.SIGKILL)
        return found

    def _unmount(self) -> list[str]:
        found = []
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for point in (line.split()[4] for line in reversed(lines)):
            if self._ours(point):
                found.append(f"mount {point}")
                subprocess.run(["umount", "--lazy", point], check=False)
        return found

    def _detach_loop_devices(self) -> list[str]:
        found = []
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                file = backing.read_text().strip()
            except OSError:
                continue
            if self._ours(file):
                device = f"/dev/{backing.parent.parent.name}"
                found.append(f"loop device {device} on {file}")
                subprocess.run(["losetup", "--detach", device], check=False)
        return found

    def _ours(self, path: str) -> bool:
        return path.startswith(f"{self.root}/")
