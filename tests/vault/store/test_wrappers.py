"""Wrappers keep every promise of the store inside, and do what they are for."""

from __future__ import annotations

import pytest

from mooring.host.pace import Pace
from mooring.model.clock import ManualClock
from mooring.vault.store.interface import Store
from mooring.vault.store.limited import LimitedStore
from mooring.vault.store.memory import MemoryStore
from mooring.vault.store.retrying import Patience, Retrying


def test_uploads_keep_to_the_rate_and_small_objects_do_not() -> None:
    clock = ManualClock()
    store: Store = LimitedStore(MemoryStore(), Pace(clock, 1000))
    upload = store.upload()
    for _ in range(3):
        upload.write(bytes(1000))
    store.put("roots/a", bytes(5000))
    assert clock.monotonic() == pytest.approx(2)
    upload.commit("segments/a")
    assert store.tail("segments/a", 0) == (b"", 3000)


class Passing(Exception):
    """It may be over soon."""


class Answer(Passing):
    """It is final."""


class Work:
    """Raises so many times."""

    def __init__(self, error: Exception, times: int, clock: ManualClock, took: float = 0) -> None:
        self.calls = 0
        self._error = error
        self._times = times
        self._clock = clock
        self._took = took

    def __call__(self) -> int:
        self.calls += 1
        self._clock.advance(self._took)
        if self.calls <= self._times:
            raise self._error
        return self.calls


@pytest.mark.parametrize(
    ("error", "times", "took", "calls"),
    [
        pytest.param(Passing(), 2, 0, 3, id="it passes"),
        pytest.param(Passing(), 9, 0, 4, id="it does not pass"),
        pytest.param(Passing(), 1, 5, 1, id="it was waited for already"),
        pytest.param(Answer(), 1, 0, 1, id="an answer"),
        pytest.param(ValueError(), 1, 0, 1, id="a fault of ours"),
    ],
)
def test_what_failed_at_once_is_tried_again(
    error: Exception, times: int, took: float, calls: int
) -> None:
    clock = ManualClock()
    work = Work(error, times, clock, took)
    retrying = Retrying(clock, Patience(pauses=(1, 1, 1)), Passing, (Answer,))
    if calls > times:
        assert retrying(work) == calls
    else:
        with pytest.raises(type(error)):
            retrying(work)
    assert work.calls == calls
