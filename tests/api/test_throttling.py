"""Requests beyond what a user, or all users, may make are sent away."""

from __future__ import annotations

import pytest

from mooring.api.buckets import Throttles
from mooring.config.settings import Throttle
from mooring.model.clock import ManualClock
from mooring.model.errors import ThrottlingException
from tests.api.door import Door, error_of

SOME = Throttle(user_rate=2.0, user_burst=4.0, rate=100.0, burst=100.0)


def taken(throttles: Throttles, user: str, tries: int = 50) -> int:
    """How many of so many requests are answered."""
    done = 0
    for _ in range(tries):
        try:
            throttles.take(user)
        except ThrottlingException:
            continue
        done += 1
    return done


def test_a_burst_and_then_the_rate() -> None:
    clock = ManualClock()
    throttles = Throttles(SOME, clock)

    assert taken(throttles, "ann") == 4
    clock.advance(1.0)
    assert taken(throttles, "ann") == 2
    clock.advance(0.4)
    assert taken(throttles, "ann") == 0
    clock.advance(0.1)
    assert taken(throttles, "ann") == 1
    clock.advance(3600)
    assert taken(throttles, "ann") == 4


def test_servers_of_one_catalog_share_what_is_allowed() -> None:
    clock, servers = ManualClock(), 2
    throttles = Throttles(SOME, clock, lambda: servers)

    assert taken(throttles, "ann") == 2
    clock.advance(1.0)
    assert taken(throttles, "ann") == 1
    servers = 100
    clock.advance(3600)
    # However many there are: what is not allowed at all could never be asked for again.
    assert taken(throttles, "ann") == 1
    servers = 1
    clock.advance(3600)
    assert taken(throttles, "ann") == 4


def test_one_user_does_not_take_from_another() -> None:
    throttles = Throttles(SOME, ManualClock())

    assert taken(throttles, "ann") == 4
    assert taken(throttles, "bob") == 4


def test_all_together_have_a_limit_and_who_is_sent_away_takes_nothing() -> None:
    clock = ManualClock()
    throttles = Throttles(Throttle(user_rate=5, user_burst=5, rate=1, burst=7), clock)

    assert taken(throttles, "ann") == 5
    assert taken(throttles, "bob") == 2
    clock.advance(1)
    assert taken(throttles, "bob") == 1


def test_zero_is_no_limit() -> None:
    throttles = Throttles(Throttle(user_rate=0, rate=0), ManualClock())

    assert taken(throttles, "ann", 20_000) == 20_000


def test_the_door_sends_away_with_the_real_error() -> None:
    door = Door(throttle=SOME)
    replies = [door.call("GetDisks") for _ in range(5)]

    assert [reply.status for reply in replies] == [200] * 4 + [400]
    status, kind, message = error_of(replies[4])
    assert (status, kind) == (400, "ThrottlingException")
    assert message.startswith("Rate exceeded")
    assert "throttle.user_rate" in message
    assert len(door.calls) == 4


def test_questions_count_and_strangers_do_not() -> None:
    door = Door(throttle=SOME)
    for _ in range(20):
        assert door.call("GetDisks", signing={"secret": "wrong"}).status == 400

    assert [door.ask("uri").status for _ in range(5)] == [200] * 4 + [400]


@pytest.mark.parametrize("field", ["user_rate", "rate"])
def test_the_defaults_are_generous(field: str) -> None:
    assert getattr(Throttle(), field) >= 1000
