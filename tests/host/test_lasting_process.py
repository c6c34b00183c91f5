"""A process that several threads look at."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host.processes.lasting_process import LastingProcess
from tests.e2e.processes import until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_whoever_waits_sees_the_end_of_one_that_another_has_dropped(
    sleeper: subprocess.Popen[bytes],
) -> None:
    pidfd = os.pidfd_open(sleeper.pid)
    process = LastingProcess(sleeper.pid, pidfd)
    ended: list[bool] = []
    waiting = threading.Thread(target=lambda: ended.append(process.wait(30.0)))
    waiting.start()
    until(lambda: process._users == 1, "it waits")
    process.close()
    assert not process.alive()
    assert Path(f"/proc/self/fd/{pidfd}").exists(), "its number may not be another file's"
    sleeper.kill()
    waiting.join(30.0)
    assert ended == [True]
    assert not Path(f"/proc/self/fd/{pidfd}").exists()


def test_nobody_signals_what_was_dropped(sleeper: subprocess.Popen[bytes]) -> None:
    process = LastingProcess(sleeper.pid, os.pidfd_open(sleeper.pid))
    process.close()
    process.ask_to_end()
    process.kill()
    assert sleeper.poll() is None
