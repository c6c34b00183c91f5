"""A process that outlives its starter: started, found again, ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import subprocess
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO

from mooring.host.processes.process_stat import state_of
from mooring.model.clock import Clock

KILL_SECONDS = 10.0
_LOOKS = 10
_LOOK_SECONDS = 0.005


class LastingProcess:
    """A running process, known by its pidfd, which stays right when the pid is used again.

    Close it, or use `with`: it runs on.
    """

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self._lock = threading.Lock()
        self._users, self._dropped = 0, -1

    def alive(self) -> bool:
        """Whether it runs; reaps it if it was left to us (as it is when we are process 1)."""
        return self.pidfd >= 0 and not self.wait(0.0)

    def wait(self, timeout: float) -> bool:
        """Wait for its end; False when `timeout` seconds have passed."""
        with self._descriptor() as pidfd:
            if pidfd < 0:
                return True
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(timeout * 1000):
                return False
            # In the usual case it is the child of process 1, not ours.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        return True

    def spins(self, clock: Clock) -> bool:
        """Whether its main thread never waits for anything, as far as 50 ms show it."""
        for _ in range(_LOOKS):
            if state_of(self.pid) != "R":
                return False
            clock.sleep(_LOOK_SECONDS)
        return True

    def ask_to_end(self) -> None:
        """Send it SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self, patience: float = KILL_SECONDS) -> None:
        """End it at once, and wait up to `patience` seconds until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait(patience)

    def end(self, patience: float, kill_patience: float = KILL_SECONDS) -> None:
        """Ask it to end, kill it if it has not within `patience` seconds, and wait for that."""
        self.ask_to_end()
        if not self.wait(patience):
            self.kill(kill_patience)

    def close(self) -> None:
        """Drop it; it keeps running. Other threads may be waiting for its end."""
        with self._lock:
            if self.pidfd >= 0:
                self._dropped, self.pidfd = self.pidfd, -1
                self._close_unused()

    def __enter__(self) -> LastingProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        with self._descriptor() as pidfd:
            if pidfd >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)

    @contextlib.contextmanager
    def _descriptor(self) -> Iterator[int]:
        """The pidfd, which nobody closes meanwhile; -1 if it was closed.

        The number of one that is closed may be another file's a moment later.
        """
        with self._lock:
            pidfd = self.pidfd
            self._users += pidfd >= 0
        try:
            yield pidfd
        finally:
            with self._lock:
                self._users -= pidfd >= 0
                self._close_unused()

    def _close_unused(self) -> None:
        if self._dropped >= 0 and not self._users:
            os.close(self._dropped)
            self._dropped = -1


def start(
    command: Sequence[str], folder: Path, log: IO[bytes], pass_fds: Collection[int] = ()
) -> None:
    """Start a program that runs on when this process has ended; what it says goes to `log`.

    Nobody's child here, it is out of reach of a terminal's signals, and `folder`, which has its
    files, out of reach of what cleans /tmp. Raises OSError, subprocess.CalledProcessError.
    """
    with kept_from_cleaning(folder) as locks:
        subprocess.run(
            ["setsid", "--fork", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=[*pass_fds, *locks],
            check=True,
        )


@contextlib.contextmanager
def kept_from_cleaning(folder: Path) -> Iterator[Collection[int]]:
    """Descriptors that keep the folder's files as long as any process has them open.

    systemd-tmpfiles removes what has been in /tmp for days, so the pid file of a process that
    holds a disk, but nothing in a directory that is locked. That is to be the first one below the
    directory that everybody writes to; there is none for most folders.
    """
    locks = []
    for place, above in zip([folder, *folder.parents], folder.parents, strict=False):
        with contextlib.suppress(OSError):
            if above.stat().st_mode & stat.S_ISVTX:
                locks.append(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                fcntl.flock(locks[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)
    try:
        yield locks
    finally:
        for lock in locks:
            os.close(lock)


def find(pid_file: Path, word: Path) -> LastingProcess | None:
    """The process whose pid the file holds, if it runs and has `word` in its command line."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return None
    return find_by_pid(pid, word)


def find_by_pid(pid: int, word: Path) -> LastingProcess | None:
    """That process, if it runs and has `word` in its command line: the pid may be another's."""
    try:
        process = LastingProcess(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        return None
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        command = []
    if os.fsencode(word) not in command or not process.alive():
        process.close()
        return None
    return process


def last_line(log: Path, besides: tuple[str, ...] = ()) -> str:
    """The last line of a process' log, without those that begin like one of `besides`."""
    try:
        text = log.read_text(errors="replace").strip()
    except FileNotFoundError:
        text = ""
    lines = [line for line in text.splitlines() if not line.startswith(besides)]
    return lines[-1] if lines else "its log is empty"
