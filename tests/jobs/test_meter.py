"""Rates of jobs are those of the last moments, and start anew with the job."""

from __future__ import annotations

from mooring.model.meter import MOST, WINDOW_SECONDS, Meter


def test_a_rate_is_that_of_the_last_moments() -> None:
    meter = Meter()
    for second in range(100):
        meter.note("job", 10 * second, 2000, float(second))
    for second in range(100, 130):
        meter.note("job", 990 + 20 * (second - 99), 2000, float(second))
    pace = meter.pace("job")

    assert pace is not None
    assert WINDOW_SECONDS < 30
    assert 19 < pace.rate <= 20
    assert pace.seconds_left == (2000 - pace.done) / pace.rate


def test_a_job_that_begins_anew_has_no_rate_yet() -> None:
    meter = Meter()
    meter.note("job", 100, 200, 0.0)
    meter.note("job", 150, 200, 1.0)
    meter.note("job", 10, 200, 2.0)
    pace = meter.pace("job")

    assert pace is not None
    assert (pace.done, pace.rate, pace.seconds_left) == (10, 0.0, None)
    assert meter.pace("another") is None


def test_only_so_many_jobs_are_remembered() -> None:
    meter = Meter()
    for number in range(MOST + 5):
        meter.note(f"job {number}", 1, 2, 0.0)
        meter.note("job 0", 1, 2, 0.0)

    assert meter.pace("job 0") is not None
    assert meter.pace("job 1") is None
