"""The monitor's client against answers that are late, foreign or missing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mooring.host.qmp import Monitor, QmpClosedError, QmpError, QmpSilenceError
from mooring.model.clock import SystemClock

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}}}
Answer = Callable[[dict[str, Any]], list[dict[str, Any]] | None]


@pytest.fixture
def serve(run_dir: Path) -> Iterator[Callable[..., Path]]:
    """Serve one client at a socket: `answer` gives the lines to each command, None hangs up."""
    threads, sockets = [], []

    def start(answer: Answer, before: list[dict[str, Any]] | None = None) -> Path:
        path = run_dir / "qmp"
        listener = socket.socket(socket.AF_UNIX)
        sockets.append(listener)
        listener.bind(str(path))
        listener.listen()

        def run() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as file:
                for first in [*(before or []), GREETING]:
                    print(json.dumps(first), file=file, flush=True)
                for line in file:
                    asked = json.loads(line)
                    if asked["execute"] == "qmp_capabilities":
                        answers: list[dict[str, Any]] | None = [{"return": {}, "id": asked["id"]}]
                    else:
                        answers = answer(asked)
                    if answers is None:
                        return
                    for one in answers:
                        print(json.dumps(one), file=file, flush=True)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(10)
    for listener in sockets:
        listener.close()


def test_answers_to_others_and_events_are_passed_over(serve: Callable[..., Path]) -> None:
    def answer(asked: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"return": "of a client that is gone", "id": "other"},
            {"error": {"class": "GenericError", "desc": "of one without ids"}},
            {"event": "JOB_STATUS_CHANGE", "data": {}},
            {"return": asked["arguments"], "id": asked["id"]},
        ]

    monitor = Monitor(serve(answer, [{"return": "late"}]), SystemClock(), 5.0)

    assert monitor.version == (7, 2, 22)
    assert monitor.execute("echo", {"word": "hello"}, timeout=5.0) == {"word": "hello"}
    assert monitor.execute("echo", {"word": "again"}, timeout=5.0) == {"word": "again"}
    monitor.close()


def test_refusal_names_command_and_reason(serve: Callable[..., Path]) -> None:
    def refuse(asked: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"error": {"class": "GenericError", "desc": "no such node"}, "id": asked["id"]}]

    monitor = Monitor(serve(refuse), SystemClock(), 5.0)

    with pytest.raises(QmpError, match="blockdev-del: no such node"):
        monitor.execute("blockdev-del", timeout=5.0)
    monitor.close()


def test_whoever_waited_behind_a_silence_is_told_of_it(
    serve: Callable[..., Path],
) -> None:
    monitor = Monitor(serve(lambda asked: []), SystemClock(), 5.0)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(monitor.execute, "query-jobs", timeout=0.2) for _ in range(3)]
        for one in asked:
            with pytest.raises(QmpSilenceError, match="has not answered query-jobs"):
                one.result()
    with pytest.raises(QmpSilenceError, match="has not answered query-jobs"):
        monitor.execute("quit", timeout=0.2)


def test_silence_and_hanging_up_are_told_apart(serve: Callable[..., Path], run_dir: Path) -> None:
    path = serve(lambda asked: [])
    monitor = Monitor(path, SystemClock(), 5.0)
    with pytest.raises(QmpSilenceError, match="query-jobs"):
        monitor.execute("query-jobs", timeout=0.1)
    with pytest.raises(QmpSilenceError, match="query-jobs"):
        monitor.execute("quit", timeout=0.1)

    path.unlink()
    monitor = Monitor(serve(lambda asked: None), SystemClock(), 5.0)
    with pytest.raises(QmpClosedError):
        monitor.execute("query-jobs", timeout=5.0)
    with pytest.raises(QmpClosedError, match="no storage daemon"):
        Monitor(run_dir / "nothing", SystemClock(), 5.0)


def test_hanging_up_is_seen_without_a_question(serve: Callable[..., Path]) -> None:
    path = serve(lambda asked: None if asked["execute"] == "quit" else [])
    monitor = Monitor(path, SystemClock(), 5)
    assert not monitor.hung_up()

    with pytest.raises(QmpClosedError):
        monitor.execute("quit", timeout=5)

    assert not monitor.hung_up()  # it is closed here, too

    path = serve_and_leave(path.with_name("gone"))
    gone = Monitor(path, SystemClock(), 5)
    deadline = time.monotonic() + 10
    while not gone.hung_up():
        assert time.monotonic() < deadline
    gone.close()


def serve_and_leave(path: Path) -> Path:
    """Greet one client at a socket, and hang up."""

    def run() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as file:
                print(json.dumps(GREETING), file=file, flush=True)
                asked = json.loads(file.readline())
                print(json.dumps({"return": {}, "id": asked["id"]}), file=file, flush=True)

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    threading.Thread(target=run).start()
    return path
