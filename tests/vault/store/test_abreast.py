"""Work side by side: its order, its bounds, and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mooring.vault.store.abreast import Abreast


def test_results_come_in_order_and_few_are_taken_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken = number + 1
            yield number

    abreast = Abreast(at_once=4)
    for number, result in enumerate(abreast.map(lambda one: one * 2, items())):
        assert result == number * 2
        assert taken <= number + 8
    assert taken == 1000
    abreast.close()


@pytest.mark.parametrize("leaves", ["by an error", "by itself"])
def test_nothing_is_under_way_at_the_end(leaves: str) -> None:
    begun = threading.Barrier(3, timeout=60)
    done: list[int] = []

    def work(number: int) -> int:
        if number < 3:
            begun.wait()
        if number == 0 and leaves == "by an error":
            raise ValueError("no")
        done.append(number)
        return number

    abreast = Abreast(at_once=3)
    results = abreast.map(work, range(100))
    if leaves == "by an error":
        with pytest.raises(ValueError, match="no"):
            next(results)
    else:
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
    count = len(done)
    assert {1, 2} <= set(done)
    abreast.close()
    assert len(done) == count
