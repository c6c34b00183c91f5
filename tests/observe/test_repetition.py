"""The log is bounded: what repeats is counted, and what differs is written."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from mooring.observe import logs, repetition


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def fail(log: Any) -> None:
    try:
        raise OSError(24, "Too many open files")
    except OSError:
        log.exception("the catalog could not be used")


def test_a_traceback_that_comes_again_is_counted(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = structlog.get_logger("mooring.test")
    for _ in range(1000):
        fail(log)
    log.warning("something else")

    assert [line["event"] for line in lines(out)] == [
        *["the catalog could not be used"] * repetition.WRITTEN,
        "something else",
    ]
    monkeypatch.setattr(repetition, "WINDOW_SECONDS", 0.0)
    fail(log)
    assert lines(out)[-1]["like_this_left_out"] == 1000 - repetition.WRITTEN


def test_what_differs_is_written(out: io.StringIO) -> None:
    log = structlog.get_logger("mooring.test")
    for number in range(50):
        log.error("undo failed", job=f"job-{number}")
        log.info("request")

    assert len(lines(out)) == 100


def test_libraries_are_bounded_as_well(out: io.StringIO) -> None:
    log = logging.getLogger("uvicorn.error")
    for _ in range(1000):
        log.warning("Invalid HTTP request received.")
    log.warning("another")

    assert len(lines(out)) == repetition.WRITTEN + 1
