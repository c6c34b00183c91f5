"""What the names of automatic snapshots mean, and where a path after one begins."""

from __future__ import annotations

import pytest

from mooring.model.automatic.moment import (
    AutoName,
    bearer_of,
    check_date,
    choose,
    read_auto_name,
    split_place,
)
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS
from mooring.model.automatic.rules import dates, name_as_manual, name_of, stamp
from mooring.model.errors import InvalidInputException, NotFoundException, ServiceError
from mooring.model.names import is_name

NOON = 1_795_694_400_000  # 2026-11-26T12:00:00Z
TAKEN = [NOON - 2 * DAY_MS, NOON - DAY_MS - HOUR_MS, NOON - DAY_MS, NOON - HOUR_MS + 7]


def found(when: str, taken: list[int] | None = None, failed: tuple[int, ...] = ()) -> str:
    name = read_auto_name(f"data@{when}")
    assert name is not None
    return stamp(
        choose(name, TAKEN if taken is None else taken, stamp, lambda one: one not in failed, NOON)
    )


@pytest.mark.parametrize(
    ("text", "snapshot", "path"),
    [
        ("data@2026-11-26T14:51:18.787:/", "data@2026-11-26T14:51:18.787", "/"),
        ("data@2026-11-26T14:51:18.787", "data@2026-11-26T14:51:18.787", "/"),
        ("data@2026-11-26T14:51:18:/a:b", "data@2026-11-26T14:51:18", "/a:b"),
        ("data@2026-11-26T14:51:/18", "data@2026-11-26T14:51", "/18"),
        ("data@2026-11-26T14:51:18", "data@2026-11-26T14:51:18", "/"),
        ("data@2026-11-26T14:51:180", "data@2026-11-26T14:51", "180"),
        ("data@2026-11-26T14:51:etc", "data@2026-11-26T14:51", "etc"),
        ("data@2026-11-26:/etc", "data@2026-11-26", "/etc"),
        ("data@2026-11-26:etc\n", "data@2026-11-26", "etc\n"),
        ("data@latest:/etc/a@b:c", "data@latest", "/etc/a@b:c"),
        ("data@latest", "data@latest", "/"),
        ("data@latest:", "data@latest", "/"),
        ("web@yesterday/data:/etc", "web@yesterday/data", "/etc"),
        ("all/data:/etc", "all/data", "/etc"),
        ("first:/a@latest", "first", "/a@latest"),
        ("first:a:b", "first", "a:b"),
        ("first", "first", "/"),
        ("data@monday:/etc", "data@monday", "/etc"),
        ("data@2026-11-26T14:/etc", "data@2026-11-26T14", "/etc"),
    ],
)
def test_where_the_path_begins(text: str, snapshot: str, path: str) -> None:
    assert split_place(text) == (snapshot, path)


def test_every_whole_name_is_read_back() -> None:
    for moment in (*TAKEN, 0, 1, 999, NOON + 999):
        name = name_of("my-disk.1", moment)
        assert read_auto_name(name) == AutoName("my-disk.1", stamp(moment))
        assert split_place(f"{name}:/etc") == (name, "/etc")
        assert bearer_of(name) == "my-disk.1"
        assert not is_name(name)
        assert is_name(name_as_manual("my-disk.1", moment))
    assert read_auto_name("first") is None
    assert bearer_of("all/data") == "all"


def test_words_choose_the_newest() -> None:
    assert found("latest") == "2026-11-26T11:00:00.007"
    assert found("today") == "2026-11-26T11:00:00.007"
    assert found("yesterday") == "2026-11-25T12:00:00.000"
    assert found("latest", failed=(TAKEN[-1],)) == "2026-11-25T12:00:00.000"
    with pytest.raises(NotFoundException, match=r"data@today\. The newest: data@2026-11-25"):
        found("today", failed=(TAKEN[-1],))


def test_the_beginning_of_a_moment_must_fit_one() -> None:
    assert found("2026-11-24") == "2026-11-24T12:00:00.000"
    assert found("2026-11-25T11:00") == "2026-11-25T11:00:00.000"
    assert found("2026-11-26T11:00:00") == "2026-11-26T11:00:00.007"
    assert found("2026-11-26T11:00:00.007") == "2026-11-26T11:00:00.007"
    with pytest.raises(InvalidInputException) as caught:
        found("2026-11-25")
    assert caught.value.message == (
        "data@2026-11-25 can be any of 2 automatic snapshots; name one: "
        "data@2026-11-25T12:00:00.000, data@2026-11-25T11:00:00.000."
    )
    # What could not be stored is in nobody's way, but can be asked about.
    assert found("2026-11-25", failed=(TAKEN[1],)) == "2026-11-25T12:00:00.000"
    assert found("2026-11-24", failed=(TAKEN[0],)) == "2026-11-24T12:00:00.000"


def test_what_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(NotFoundException, match=r"data@2026-11-20\. The newest: data@2026-11-26T"):
        found("2026-11-20")
    with pytest.raises(NotFoundException, match="data has none that is stored"):
        found("latest", [])


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("2026-13-45", "date"),
        ("2026-02-29", "date"),
        ("0000-01-01", "date"),
        ("2026-11-26T24:01", "date and time"),
        ("2026-11-26T14:51:60", "date and time"),
    ],
)
def test_what_the_calendar_does_not_have_is_told(when: str, what: str) -> None:
    with pytest.raises(InvalidInputException, match=rf"{when} is not a {what}\."):
        read_auto_name(f"data@{when}")
    with pytest.raises(InvalidInputException, match=rf"{when} is not valid: there is no such"):
        check_date(when)


@pytest.mark.parametrize(
    "text",
    ["data@", "@latest", "data@Latest", "data@tomorrow", "data@2026-11", "data@2026-11-26T14",
     "data@2026-11-26 14:51", "data@latest@latest", "data@latest/", "data@2026-11-26T14:51:18.7",
     "da/ta@latest", "data@latest:/", "data@latest\n", "data@٢٠٢٦-11-26"],
)  # fmt: skip
def test_what_is_no_moment_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ServiceError, match="latest, today, yesterday"):
        read_auto_name(text)


@pytest.mark.parametrize(
    "date",
    ["2026-11-26", "2026-11-26T14:51", "2026-11-26T14:51:18", "2026-11-26T14:51:18.787"],
)
def test_a_date_of_lightsails_operations_is_one_after_an_at_as_well(date: str) -> None:
    assert check_date(date) == date
    assert read_auto_name(f"data@{date}") == AutoName("data", date)
    with pytest.raises(InvalidInputException, match="YYYY-MM-DD, or more of the moment"):
        check_date(date[:-1])


def test_a_moment_is_spelled_as_far_as_it_must_be() -> None:
    alone, first, second, third = NOON, NOON + 61_000, NOON + 71_005, NOON + 71_900

    assert dates([third, first, alone, second]) == {
        alone: "2026-11-26T12:00",
        first: "2026-11-26T12:01:01",
        second: "2026-11-26T12:01:11.005",
        third: "2026-11-26T12:01:11.900",
    }
    # What was spelled longer once, for others that are gone since, is spelled right still.
    taken = [alone, first]
    assert dates(taken)[first] == "2026-11-26T12:01"
    assert [found(f"2026-11-26T12:01{more}", taken) for more in ("", ":01", ":01.000")] == [
        stamp(first)
    ] * 3
