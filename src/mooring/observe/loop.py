"""Threads that continue whatever their body raises, and report it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import structlog

from mooring.observe import metrics

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until the body is called again after it failed once, twice, ... in a row."""

FAILING = 3
"""Failures in a row after which a thread is called a failing one."""

FORGET_ROUNDS = 100
"""Rounds without a failure after which an error is news again."""

log = structlog.get_logger("mooring.threads")

Body = Callable[[], float | None]
"""One round. Returns after how many seconds comes the next; None: at once."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """How a loop is: whether its thread lives, its failures in a row, and the last error."""

    name: str
    alive: bool
    failures: int
    error: str

    @property
    def problem(self) -> str:
        """What is wrong in one sentence; empty if nothing is."""
        if not self.alive:
            return f"the thread {self.name} has ended: restart the server"
        if self.failures >= FAILING:
            return f"the thread {self.name} has failed {self.failures} times in a row: {self.error}"
        return ""


class Repeats:
    """Decides which of many equal errors are logged: the 1st, 2nd, 4th, 8th, ...

    Needs no clock, and a year of an error a second is 25 lines. May be used from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[object, ...], int] = {}

    def count(self, error: BaseException) -> int:
        """How often it came; 0 if this time is not to be logged."""
        key = (type(error), *_origin(error.__traceback__))
        with self._lock:
            seen = self._seen[key] = self._seen.get(key, 0) + 1
        return seen if seen & (seen - 1) == 0 else 0

    def forget(self) -> None:
        """Let every error be news again."""
        with self._lock:
            self._seen.clear()


class Loop:
    """A named thread that calls its body again and again until it is stopped.

    Whatever the body raises is logged (the same error at growing intervals), counted in the metric
    `mooring_thread_failures_total`, and told by `states`; then the body is called again, after a
    pause that grows. `wake` ends a wait of the body's own when the loop is to stop. Every loop is
    a daemon thread: none holds up the interpreter's end.
    """

    def __init__(self, name: str, body: Body, *, wake: Callable[[], None] | None = None) -> None:
        self.name = name
        self._body = body
        self._wake = wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failures = self._rounds = 0
        self._error = ""
        self._repeats = Repeats()

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def state(self) -> LoopState:
        return LoopState(self.name, self.alive, self._failures, self._error)

    def start(self) -> None:
        """Begin; from now on `states` tells of it."""
        self._thread.start()
        with _lock:
            _running.add(self)

    def signal(self) -> None:
        """Have it end soon, without waiting. May be called without `start`, and again."""
        with _lock:
            _running.discard(self)
        self._stop.set()
        if self._wake is not None:
            self._wake()

    def stop(self, timeout: float | None = None) -> None:
        """Have it end, and wait for that, at most so many seconds."""
        self.signal()
        if self.started and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def wait(self, seconds: float) -> bool:
        """Wait, for a body that has to within a round; True if it is to end."""
        return self._stop.wait(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause = self._body()
            except BaseException as error:  # noqa: BLE001 - it is told, and the thread continues
                pause = self._failed(error)
            else:
                self._succeeded()
            if pause:
                self._stop.wait(pause)

    def _failed(self, error: BaseException) -> float:
        self._failures += 1
        self._rounds = 0
        self._error = f"{type(error).__name__}: {error}"
        metrics.thread_failed(self.name)
        if times := self._repeats.count(error):
            log.error(
                "a thread failed and continues", thread=self.name, times=times, exc_info=error
            )
        return PAUSES[min(self._failures, len(PAUSES)) - 1]

    def _succeeded(self) -> None:
        if self._failures >= FAILING:
            log.info("a thread works again", thread=self.name, failures=self._failures)
        self._failures, self._error = 0, ""
        self._rounds += 1
        if self._rounds == FORGET_ROUNDS:
            self._repeats.forget()


_lock = threading.Lock()
_running: set[Loop] = set()


def states() -> list[LoopState]:
    """How the loops of this process are that were started and not stopped, by name."""
    with _lock:
        loops = list(_running)
    return sorted((loop.state for loop in loops), key=lambda state: state.name)


def problems() -> list[str]:
    """A sentence for each loop that has ended by itself or fails again and again."""
    return [state.problem for state in states() if state.problem]


def ended() -> str | None:
    """Which loop has ended by itself, in a sentence; None if none has."""
    return next((state.problem for state in states() if not state.alive), None)


def watch_other_threads() -> None:
    """Log and count what ends any thread that is no loop. For a process's start."""
    repeats = Repeats()

    def hook(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value
        if error is None or isinstance(error, SystemExit):
            return
        metrics.thread_failed("other")
        if times := repeats.count(error):
            name = args.thread.name if args.thread is not None else "?"
            log.error("an error ended a thread", thread=name, times=times, exc_info=error)

    threading.excepthook = hook


def _origin(traceback: TracebackType | None) -> tuple[str, int]:
    """Where it was raised: errors of one kind from there are the same, whatever they name."""
    if traceback is None:
        return "", 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
