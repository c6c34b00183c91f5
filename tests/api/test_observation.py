"""What the front door tells of its work: logs, metrics, health."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import structlog

from mooring.observe import logs, metrics
from mooring.service.context import Context
from tests.api.door import KEY, SECRET, Door


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where log lines go; afterwards all is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield (stream := io.StringIO())
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = handlers, level
    assert stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def count(name: str, **labels: str) -> float:
    """A metric's value, as whoever scrapes it sees it; 0 before it was ever set."""
    shown = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    for line in metrics.text().decode().splitlines():
        if line.startswith(f"{name}{{{shown}}} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_a_request_is_logged_in_one_line(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    reply = Door().call("GetDisks")
    (line,) = lines(stream)

    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": reply.headers["x-amzn-requestid"],
        "operation": "GetDisks",
        "region": "us-east-2",
        "caller": KEY,
        "status": 200,
        "error": None,
        "milliseconds": 0.0,
    }


def test_a_refused_request_is_logged_without_its_signature(stream: io.StringIO) -> None:
    logs.configure("debug", stream)
    reply = Door().call("GetDisks", signing={"secret": "wrong"})
    (line,) = lines(stream)

    assert (line["status"], line["error"]) == (400, "InvalidSignatureException")
    assert line["request_id"] == reply.headers["x-amzn-requestid"]
    assert "Signature=" not in stream.getvalue()


def test_a_fault_is_logged_once_with_the_requests_id(stream: io.StringIO) -> None:
    def fail(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        raise RuntimeError("the sea is rough")

    logs.configure("info", stream)
    reply = Door(GetDisks=fail).call("GetDisks")
    fault, request = lines(stream)

    assert "the sea is rough" in fault["exception"]
    assert "the sea is rough" not in reply.text
    assert fault["level"] == "error"
    assert fault["request_id"] == request["request_id"] == reply.headers["x-amzn-requestid"]
    assert (request["status"], request["error"]) == (500, "ServiceException")


def test_what_a_handler_logs_has_the_requests_id(stream: io.StringIO) -> None:
    def handle(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        structlog.get_logger().info("working")
        return {}

    logs.configure("info", stream)
    reply = Door(GetDisks=handle).call("GetDisks")
    working = lines(stream)[0]

    assert working["event"] == "working"
    assert working["request_id"] == reply.headers["x-amzn-requestid"]


def test_secrets_are_hidden(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    structlog.get_logger().info("oops", secret_key=SECRET, Authorization="AWS4-…", disk="d")
    (line,) = lines(stream)

    assert SECRET not in stream.getvalue()
    assert (line["secret_key"], line["Authorization"], line["disk"]) == (
        logs.HIDDEN,
        logs.HIDDEN,
        "d",
    )


def test_libraries_log_alike_and_only_what_matters(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = lines(stream)

    assert (line["event"], line["level"], line["logger"]) == (
        "Invalid HTTP request received.",
        "warning",
        "uvicorn.error",
    )


def test_the_level_is_kept_to(stream: io.StringIO) -> None:
    logs.configure("warning", stream)
    Door().call("GetDisks")

    assert not stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_are_for_people_and_hold_no_variables(stream: io.StringIO) -> None:
    def fail(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        hidden_value = "x" + SECRET
        raise RuntimeError(len(hidden_value))

    terminal = Terminal()
    logs.configure("info", terminal)
    Door(GetDisks=fail).call("GetDisks")

    assert "RuntimeError" in terminal.getvalue()
    assert SECRET not in terminal.getvalue()


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_log_that_no_one_reads_fails_no_request(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", Broken())
    assert Door().call("GetDisks").status == 200
    logging.getLogger("uvicorn.error").warning("unheard")
    print("the test's own output works", file=sys.stderr)

    assert capsys.readouterr().err == "the test's own output works\n"


def test_requests_are_counted_by_operation_and_error() -> None:
    def counts() -> tuple[float, float, float]:
        return (
            count("mooring_requests_total", operation="GetDisk", error=""),
            count("mooring_requests_total", operation="GetDisk", error="InvalidInputException"),
            count("mooring_request_seconds_count", operation="GetDisk"),
        )

    before = counts()
    door = Door()
    door.call("GetDisk", {"diskName": "d"})
    door.call("GetDisk", {"diskName": "e"})
    door.call("GetDisk", {})

    assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 1, 3]


def test_no_one_can_make_up_new_names_of_metrics() -> None:
    Door().call("GetBoats")
    Door().send("GET", "/mooring/boats")

    assert b"oats" not in metrics.text()


def test_metrics_are_served_in_the_usual_format() -> None:
    door = Door()
    door.call("GetDisks")
    reply = door.send("GET", "/metrics")

    assert reply.headers["content-type"] == metrics.CONTENT_TYPE
    assert "# HELP mooring_requests_total" in reply.text


def test_health() -> None:
    reply = Door().send("GET", "/healthz")

    assert (reply.status, reply.text) == (200, "ok\n")
