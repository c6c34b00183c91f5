"""Fixtures: a recording server, and mooring run in this process against it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mooring.cli.main import main
from tests.cli.recording_server import RecordingServer, Scripted, answer


class Result(NamedTuple):
    status: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    recording = RecordingServer()
    yield recording
    recording.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment that configures nothing."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MOORING_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bare(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`bare("get-disks", ...)` runs a command line with nothing configured."""

    def run(*arguments: str) -> Result:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def mooring(bare: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """As `bare`, with keys, a region, and the recording server as endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return bare


def scripted(server: RecordingServer, *replies: object) -> None:
    """Let the server answer with these, values or `Scripted`, one after the other."""
    server.reset([reply if isinstance(reply, Scripted) else answer(reply) for reply in replies])
