"""A command that is asked: what counts as a yes, and what stays of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mooring.jobs.watching.asked_command import Answer, AskedCommand


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "script"
    file.write_text('#!/bin/sh\nprintf "%s|" "$MOORING_HOST" "$@"\nexit "$1"\n')
    file.chmod(0o755)
    return file


def test_only_an_exit_with_0_is_a_yes(script: Path) -> None:
    assert AskedCommand([str(script), "0"], 10).ask({"MOORING_HOST": "alpha"}).yes
    no = AskedCommand([str(script), "3"], 10).ask({"MOORING_HOST": "alpha"})
    assert no == Answer(False, "it ended with 3: alpha|3|")


def test_no_shell_reads_what_is_given(script: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    given = f"$(touch {made}); touch {made}"

    answer = AskedCommand([str(script), "1", given], 10).ask({"MOORING_HOST": given})

    assert given in answer.why
    assert not made.exists()


def test_one_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    hangs = ["/bin/sh", "-c", f"sleep 60 & echo $! > {file}; wait"]
    began = time.monotonic()

    answer = AskedCommand(hangs, 0.5).ask({})

    assert answer == Answer(False, "it was ended after 0.5 s")
    assert time.monotonic() - began < 10
    assert not _runs(int(file.read_text()))


def test_what_a_yes_leaves_running_holds_up_nobody(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    began = time.monotonic()

    answer = AskedCommand(["/bin/sh", "-c", f"sleep 60 & echo $! > {file}"], 30).ask({})

    assert answer.yes
    assert time.monotonic() - began < 10
    assert not _runs(int(file.read_text()))


def test_one_that_is_not_there_is_a_no() -> None:
    assert AskedCommand(["/nowhere/program"], 10).ask({}).why == (
        "/nowhere/program: No such file or directory"
    )


def test_the_end_of_the_server_ends_it() -> None:
    command = AskedCommand(["/bin/sleep", "60"], 60)
    ending = threading.Timer(0.3, command.end)
    ending.start()

    assert command.ask({}) == Answer(False, "it ended with -9")
    assert command.ask({}) == Answer(False, "the server ends")
    ending.join()


def _runs(pid: int) -> bool:
    """Whether it runs, a moment after it was ended."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return False
        except FileNotFoundError:
            return False
        time.sleep(0.02)
    return True
