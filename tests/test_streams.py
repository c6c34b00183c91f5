"""Standard output that is closed, full, or read by nobody; for every program."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MOORING = "mooring.cli.main"
MOORINGD = "mooring.admin.main"
LINES = {
    "version": [MOORING, "--version"],
    "start": [MOORING],
    "help": [MOORING, "create-disk", "help"],
    "skeleton": [MOORING, "create-disk", "--generate-cli-skeleton"],
    "completion": [MOORING, "completion", "bash"],
    "operator's version": [MOORINGD, "--version"],
    "operator's help": [MOORINGD, "verify", "--help"],
    "keys": [MOORINGD, "keys", "list"],
    "env": [MOORINGD, "env"],
}


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "server.json").write_text(
        '{"url": "http://127.0.0.1:1", "region": "us-east-2", "pid": 1}'
    )
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIAEXAMPLEEXAMPLE00\naws_secret_access_key = {'s' * 40}\n"
    )
    (tmp_path / "credentials").chmod(0o600)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MOORING_DATA": str(tmp_path),
        "PYTHONUNBUFFERED": request.param,
    }


def run(line: list[str], environment: dict[str, str], redirected: str) -> tuple[int, list[str]]:
    """The exit code, and what is on standard error without empty lines and without advice."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", sys.executable, "-m", *line],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [one for one in done.stderr.splitlines() if one and "nobody listens" not in one]
    return done.returncode, told


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("redirected", [">/dev/full", ">&-", "<&- >&-"])
def test_what_cannot_be_written_is_told_in_one_line(
    line: list[str], environment: dict[str, str], redirected: str
) -> None:
    status, told = run(line, environment, redirected)

    assert status == (255 if line[0] == MOORING else 2)
    assert len(told) == 1
    assert "Standard output cannot be written: " in told[0]


@pytest.fixture
def nobody() -> Iterator[int]:
    """The end to write to of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_reader_that_has_gone_is_no_failure(
    line: list[str], environment: dict[str, str], nobody: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *line],
        env=environment, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0
    assert [one for one in done.stderr.splitlines() if "nobody listens" not in one] == []


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("line", "status"), [([MOORING, "get-disk"], 2), ([MOORINGD, "nope"], 2)], ids=["user", "op"]
)
def test_an_error_that_nobody_hears_keeps_its_exit_code(
    line: list[str], status: int, environment: dict[str, str], redirected: str
) -> None:
    assert run(line, environment, redirected) == (status, [])


HOSTILE = "a\x1b]0;owned\x07\x9b31m\rb\u202ec\x7f"
HARMLESS = "a\\x1b]0;owned\\x07\\x9b31m\\x0db\\u202ec\\x7f"
WRITES = """
import sys
from mooring import streams
streams.secure(goes_on={goes_on})
print({text!r}, "\\tä", file=sys.{stream})
"""


def on_terminal(program: str) -> str:
    """What a terminal gets of a program."""
    ours, its = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", program], stdout=its, stderr=its, check=True)
        os.set_blocking(ours, False)
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(its)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("goes_on", [True, False])
def test_no_control_character_reaches_a_terminal(stream: str, goes_on: bool) -> None:
    told = on_terminal(WRITES.format(goes_on=goes_on, text=HOSTILE, stream=stream))

    assert told.replace("\r\n", "\n") == f"{HARMLESS} \tä\n"


@pytest.mark.parametrize(
    ("stream", "goes_on", "wanted"),
    [
        ("stdout", False, HOSTILE),  # as it is, for programs
        ("stdout", True, HARMLESS),
        ("stderr", False, HARMLESS),
        ("stderr", True, HARMLESS),
    ],
)
def test_what_programs_read(stream: str, goes_on: bool, wanted: str) -> None:
    program = WRITES.format(goes_on=goes_on, text=HOSTILE, stream=stream)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert (done.stdout or done.stderr).decode() == f"{wanted} \tä\n"


def test_colours_of_tables_and_nothing_else() -> None:
    program = f"""
import sys
from mooring import streams
from mooring.cli.output import table
streams.secure(goes_on=False)
table.write("Title", {{"name": {HOSTILE!r}, "other": "x"}}, sys.stdout, True)
"""
    told = on_terminal(program).replace("\r\n", "\n")

    assert "\x1b[" in told
    for ours in ("\x1b[0m", "\x1b[1m", "\x1b[34m", "\x1b[2m", "\x1b[33m"):
        told = told.replace(ours, "")
    assert HARMLESS in told
    assert all(one.isprintable() or one == "\n" for one in told)
