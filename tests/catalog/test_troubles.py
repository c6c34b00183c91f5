"""Troubles, where they were told, and who leads, in every kind of database."""

from __future__ import annotations

from mooring.catalog.database import Catalog
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.model.forecast import KEPT_MS
from mooring.model.resources.job_kind import JobKind
from mooring.model.trouble import Severity, Trouble, TroubleKind, Untold
from tests.catalog.kinds import on_shared_ones

AWAY = Trouble(kind=TroubleKind.VAULT_AWAY, text="away", region="home", server="1")
SHORT = Trouble(kind=TroubleKind.SPACE_SHORT, text="short", resource="disks", server="2")
MISSED = Trouble(kind=TroubleKind.SNAPSHOT_MISSED, text="missed", region="home", resource="db")
HOUR = 3_600_000


def begin(catalog: Catalog, *troubles: Trouble, now: int = 1000) -> None:
    with catalog.write() as transaction:
        for one in troubles:
            transaction.troubles.begin(one, now)


def untold(catalog: Catalog, channel: str, now: int) -> Untold:
    with catalog.read() as transaction:
        return transaction.troubles.untold(channel, now, HOUR, 10)


def tell(catalog: Catalog, channel: str, now: int) -> Untold:
    """What would be told there now is."""
    found = untold(catalog, channel, now)
    with catalog.write() as transaction:
        transaction.troubles.told(channel, found, now)
    return found


def keys(found: tuple[object, ...]) -> list[str]:
    return [one.trouble.key for one in found]  # type: ignore[attr-defined]


def test_troubles_come_back_as_they_were_the_gravest_first(catalog: Catalog) -> None:
    begin(catalog, SHORT, now=500)
    begin(catalog, AWAY, MISSED)

    with catalog.read() as transaction:
        lasting = transaction.troubles.lasting(10)
        assert {one.trouble for one in lasting[:2]} == {MISSED, AWAY}
        assert lasting[2].trouble == SHORT
        assert len(transaction.troubles.lasting(1)) == 1
        assert {one.trouble for one in transaction.troubles.of(["1", ""])} == {AWAY, MISSED}
        assert transaction.troubles.count()[TroubleKind.SPACE_SHORT] == 1
    assert lasting[0].since_ms == 1000
    assert [one.trouble.severity for one in lasting] == [
        Severity.CRITICAL,
        Severity.CRITICAL,
        Severity.WARNING,
    ]


def test_a_trouble_is_told_once_and_again_after_a_while_on_each_channel(catalog: Catalog) -> None:
    begin(catalog, AWAY, MISSED)

    assert set(keys(tell(catalog, "mail", 2000).begun)) == {MISSED.key, AWAY.key}
    assert not untold(catalog, "mail", 2000 + HOUR - 1)
    assert len(untold(catalog, "webhook", 2000).begun) == 2
    again = tell(catalog, "mail", 2000 + HOUR)
    assert (len(again.begun), len(again.lasting)) == (0, 2)
    assert not untold(catalog, "mail", 2000 + HOUR)


def test_an_end_is_told_where_the_trouble_was_and_only_once_it_has_settled(
    catalog: Catalog,
) -> None:
    begin(catalog, AWAY)
    tell(catalog, "mail", 2000)
    with catalog.write() as transaction:
        transaction.troubles.end(AWAY.key, 3000)

    assert not untold(catalog, "mail", 3005)
    assert not untold(catalog, "webhook", 3020)
    with catalog.write() as transaction:
        transaction.troubles.forget_ended(3000, 0)
    ended = tell(catalog, "mail", 3020).ended
    assert keys(ended) == [AWAY.key]
    assert ended[0].ended_ms == 3000
    assert not untold(catalog, "mail", 3020)
    with catalog.write() as transaction:
        transaction.troubles.forget_ended(3020, 0)
        assert transaction.troubles.of(["1"]) == []


def test_one_that_begins_again_before_its_end_was_told_is_the_same(catalog: Catalog) -> None:
    begin(catalog, AWAY)
    tell(catalog, "mail", 2000)
    with catalog.write() as transaction:
        transaction.troubles.end(AWAY.key, 3000)
        transaction.troubles.forget_ended(2999, 0)
        transaction.troubles.note(AWAY, 3005)
        transaction.troubles.forget_ended(9000, 0)

    assert not untold(catalog, "mail", 4000)
    with catalog.read() as transaction:
        (known,) = transaction.troubles.of(["1"])
    assert (known.since_ms, known.ended_ms) == (1000, None)


def test_a_clock_that_was_set_back_delays_nothing(catalog: Catalog) -> None:
    begin(catalog, AWAY)
    tell(catalog, "mail", 9_000_000)

    assert len(tell(catalog, "mail", 2000).lasting) == 1
    with catalog.write() as transaction:
        transaction.troubles.end(AWAY.key, 9_000_000)
    assert len(tell(catalog, "mail", 2000).ended) == 1


def test_what_could_not_be_told_is_forgotten_in_the_end(catalog: Catalog) -> None:
    begin(catalog, AWAY, MISSED)
    tell(catalog, "gone", 2000)
    with catalog.write() as transaction:
        transaction.troubles.end(AWAY.key, 3000)
        transaction.troubles.forget_ended(3000, 2999)
        assert len(transaction.troubles.of(["1"])) == 1
        transaction.troubles.forget_ended(3000, 3000)
        assert transaction.troubles.of(["1"]) == []
    assert not untold(catalog, "gone", 4000)


@on_shared_ones
def test_one_server_leads_until_it_is_silent(catalog: Catalog, second: Catalog) -> None:
    with catalog.write() as transaction:
        assert transaction.leads.take("troubles", "1", 60_000, 1000)
    with second.write() as transaction:
        assert not transaction.leads.take("troubles", "2", 60_000, 1000)
        assert transaction.leads.take("another", "2", 60_000, 1000)
    with catalog.write() as transaction:
        assert transaction.leads.take("troubles", "1", 60_000, 1000)
        transaction.leads.leave("troubles", "1")
    with second.write() as transaction:
        assert transaction.leads.take("troubles", "2", 60_000, 1000)
        transaction.leads.leave("troubles", "1")
    with catalog.write() as transaction:
        assert not transaction.leads.take("troubles", "1", 60_000, 1000)
        # What somebody was promised for longer than one asks for is no promise.
        assert transaction.leads.take("troubles", "1", 1000, 1000)


def test_the_last_run_of_each_kind_is_known(catalog: Catalog) -> None:
    verified = VaultRun("home", JobKind.VERIFY_VAULT, 1000, 2)
    copied = VaultRun("home", JobKind.REPLICATE_VAULT, 1500, 0)
    later = VaultRun("home", JobKind.VERIFY_VAULT, 2000, 0)
    with catalog.write() as transaction:
        for run in (verified, copied, later):
            transaction.vault_runs.put(run)
        assert transaction.vault_runs.all() == [copied, later]


def test_samples_of_room_are_kept_for_a_while_by_server(catalog: Catalog) -> None:
    with catalog.write() as transaction:
        samples = transaction.room_samples
        samples.add("1", {"disks": 10, "vault": 20}, 1000)
        samples.add("2", {"disks": 99}, 1000)
        samples.add("1", {"disks": 9}, 2000)
        assert samples.newest_ms("1") == 2000
        assert samples.newest_ms("3") is None
        found = samples.of("1")
        assert [one.free_bytes for one in found["disks"]] == [10, 9]
        # A clock that was set back leaves none ahead.
        samples.add("1", {"disks": 8}, 1500)
        assert [one.free_bytes for one in samples.of("1")["disks"]] == [10, 8]
        samples.add("1", {"disks": 7}, 1001 + KEPT_MS)
        assert [one.at_ms for one in samples.of("1")["disks"]] == [1500, 1001 + KEPT_MS]
        assert samples.of("2") == {}
