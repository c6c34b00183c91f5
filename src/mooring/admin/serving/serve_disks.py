"""mooringd serve-disks: the process that serves attached disks to other hosts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mooring.admin.serving.descriptors import raise_limit
from mooring.host.processes.process_lock import inherit
from mooring.model.clock import SystemClock
from mooring.observe import logs
from mooring.relay.server import Outside, RelayServer, wait

CHECK_SECONDS = 5.0


def serve_disks(run: Path, lock_fd: int, outside: Outside) -> int:
    """Serve until SIGTERM. Raises ConfigurationError."""
    os.umask(0o077)
    inherit(lock_fd)
    logs.configure("warning")
    raise_limit(outside.connections)
    ended = False
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    # Before a signal's handler runs, its number is in the pipe: the poll does not sleep over it.
    signal.set_wakeup_fd(write_end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server = RelayServer(run, outside, SystemClock())

    def be_a_client() -> None:
        """What a connection's process does first: let go of what is this process' own."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for fd in (lock_fd, read_end, write_end):
            os.close(fd)

    while not ended:
        if wait(server, read_end, CHECK_SECONDS):
            server.accept(be_a_client)
        else:
            _drain(read_end)
            server.reap()
    server.close()
    return 0


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
