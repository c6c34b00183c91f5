"""Threads that go on whatever happens, and are told of when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from mooring.observe import loop as loops
from mooring.observe import metrics
from mooring.observe.loop import FAILING, Loop, Repeats

LIMIT = 30.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAUSES", (0.001,))


@pytest.fixture
def started() -> Iterator[Callable[[Callable[[], float | None]], Loop]]:
    made: list[Loop] = []

    def start(body: Callable[[], float | None]) -> Loop:
        made.append(Loop("tested", body))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(1), OSError(5, "x")])
def test_it_goes_on_after_anything(
    error: BaseException, started: Callable[[Callable[[], float | None]], Loop]
) -> None:
    fine = threading.Event()
    left = [error] * 3

    def body() -> float:
        if left:
            raise left.pop()
        fine.set()
        return 0.001

    loop = started(body)

    assert fine.wait(LIMIT)
    assert loop.alive
    assert 'mooring_thread_failures_total{thread="tested"}' in metrics.text().decode()


def test_one_that_fails_again_and_again_is_a_problem_until_it_works(
    started: Callable[[Callable[[], float | None]], Loop],
) -> None:
    mended, failed, fine = threading.Event(), threading.Event(), threading.Event()
    runs: list[int] = []

    def body() -> float:
        runs.append(1)
        if len(runs) > FAILING + 1:
            failed.set()
        if not mended.is_set():
            raise ValueError("still broken")
        if len(runs) > 1:
            fine.set()
        return 0.001

    started(body)
    assert failed.wait(LIMIT)
    (problem,) = (text for text in loops.problems() if "tested" in text)
    assert "still broken" in problem

    mended.set()
    assert fine.wait(LIMIT)
    for _ in range(1000):
        if not any("tested" in text for text in loops.problems()):
            break
        threading.Event().wait(0.01)
    assert not any("tested" in text for text in loops.problems())


def test_a_dead_thread_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop("tested", lambda: None)
    monkeypatch.setattr(loop, "_run", lambda: None)
    loop._thread = threading.Thread(target=lambda: None, name="tested")
    loop.start()
    try:
        loop._thread.join()
        assert any("tested has ended" in text for text in loops.problems())
    finally:
        loop.stop()
    assert not any("tested" in text for text in loops.problems())


def test_the_same_error_is_logged_ever_more_seldom() -> None:
    repeats = Repeats()
    logged = []
    for number in range(1000):
        try:
            raise ValueError(f"another text each time: {number}")
        except ValueError as error:
            logged.append(repeats.count(error))

    assert [times for times in logged if times] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_stop_ends_a_pause_and_a_wait_of_the_body() -> None:
    waiting, news = threading.Event(), threading.Event()

    def body() -> float:
        waiting.set()
        news.wait(LIMIT)
        return 3600.0

    loop = Loop("tested", body, wake=news.set)
    loop.start()
    assert waiting.wait(LIMIT)
    loop.stop(LIMIT)

    assert not loop.alive
    Loop("never started", lambda: None).stop()


def test_what_ends_any_other_thread_is_logged_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    loops.watch_other_threads()

    def fail() -> None:
        raise ValueError("nobody looks after this thread")

    with capture_logs() as lines:
        thread = threading.Thread(target=fail, name="unwatched")
        thread.start()
        thread.join()

    assert [line["thread"] for line in lines] == ["unwatched"]
    assert 'mooring_thread_failures_total{thread="other"}' in metrics.text().decode()
