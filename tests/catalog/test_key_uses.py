"""When keys were last used, at any of several servers, for a write a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.model.access import Access, Role
from mooring.model.clock import ManualClock
from mooring.service.credentials.key_file import remove_keys
from mooring.service.credentials.keyring import Keyring
from mooring.service.credentials.keys import new_key, read_keys, write_keys
from mooring.service.credentials.shared_uses import SharedUses
from tests.catalog.plans import recorded

OPS, CI = (new_key(user, Access(user, Role.OPERATOR)) for user in ("ops", "ci"))


class Server:
    """What a server knows of keys."""

    def __init__(self, file: Path, catalog: Catalog, clock: ManualClock) -> None:
        self.file = file
        write_keys(file, [OPS, CI])
        self.keyring = Keyring(file, clock)
        self.uses = SharedUses(catalog, self.keyring, clock)

    def enter(self) -> int:
        """Tell the catalog; returns how many different statements that took."""
        with recorded() as executed:
            self.uses.enter()
        return len(executed)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def one(tmp_path: Path, catalog: Catalog, clock: ManualClock) -> Server:
    return Server(tmp_path / "one", catalog, clock)


@pytest.fixture
def two(tmp_path: Path, catalog: Catalog, clock: ManualClock) -> Server:
    return Server(tmp_path / "two", catalog, clock)


def known(catalog: Catalog) -> dict[str, int]:
    with catalog.read() as transaction:
        return transaction.key_uses.all()


def test_the_newest_of_all_servers_counts(
    one: Server, two: Server, catalog: Catalog, clock: ManualClock
) -> None:
    one.keyring.note_use(OPS.id)
    early = clock.now_ms()
    clock.advance(100)
    two.keyring.note_use(OPS.id)
    late = clock.now_ms()
    two.enter()
    one.enter()

    assert known(catalog) == {OPS.id: late}
    if catalog.is_for_many:
        assert one.uses.newest() == {OPS.id: late}
        clock.advance(100)
        one.keyring.note_use(OPS.id)
        one.keyring.note_use(CI.id)
        # Its own uses are known at once, and to others when they were entered.
        assert one.uses.newest() == {OPS.id: clock.now_ms(), CI.id: clock.now_ms()}
        assert two.uses.newest() == {OPS.id: late}
    else:
        assert one.uses.newest() == {OPS.id: early}


def test_a_request_writes_nothing_and_a_minute_once(
    one: Server, catalog: Catalog, clock: ManualClock
) -> None:
    with recorded() as executed:
        for _ in range(1000):
            one.keyring.note_use(OPS.id)
    assert not executed
    writes = 0
    for _ in range(300):
        one.keyring.note_use(OPS.id)
        writes += one.enter() > 0
        clock.advance(1)
    assert writes == 5
    # The last use is entered although no other follows it.
    last = one.keyring.used[OPS.id]
    assert known(catalog)[OPS.id] < last
    clock.advance(60)
    assert one.enter()
    assert known(catalog) == {OPS.id: last}
    clock.advance(600)
    assert not one.enter()


def test_a_key_that_is_gone_is_forgotten(one: Server, catalog: Catalog, clock: ManualClock) -> None:
    one.keyring.note_use(CI.id)
    one.keyring.note_use(OPS.id)
    one.enter()
    write_keys(one.file, remove_keys(list(read_keys(one.file).values()), "ci", None))
    clock.advance(61)
    one.keyring.refresh()
    one.keyring.note_use(CI.id)
    one.keyring.note_use(OPS.id)
    one.enter()

    assert known(catalog) == {OPS.id: clock.now_ms()}
