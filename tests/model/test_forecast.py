"""When a file system will be full."""

from __future__ import annotations

import pytest

from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS
from mooring.model.forecast import LEAST_MS, Sample, seconds_until_full

GIB = 1 << 30


def filling(hours: int, per_hour: int) -> list[Sample]:
    return [Sample(hour * HOUR_MS, 1000 * GIB - hour * per_hour) for hour in range(hours)]


def test_it_is_full_when_the_line_says_so() -> None:
    samples = filling(48, GIB)
    left = seconds_until_full(samples, samples[-1].free_bytes)

    assert left == pytest.approx((1000 - 47) * 3600, rel=0.001)


def test_a_single_restore_does_not_decide() -> None:
    calm = [Sample(hour * HOUR_MS, 500 * GIB) for hour in range(200)]
    left = seconds_until_full([*calm, Sample(200 * HOUR_MS, 400 * GIB)], 400 * GIB)

    assert left is not None
    assert left > 10 * DAY_MS / 1000


@pytest.mark.parametrize(
    "samples",
    [
        [],
        filling(2, GIB),
        [Sample(0, 10), Sample(1, 5), Sample(LEAST_MS - 1, 1)],
        filling(48, 0),
        filling(48, -GIB),
    ],
)
def test_nothing_is_said_of_what_is_not_known_or_does_not_fill_up(samples: list[Sample]) -> None:
    assert seconds_until_full(samples, 5 * GIB) is None
