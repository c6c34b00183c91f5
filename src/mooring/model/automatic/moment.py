"""How automatic snapshots are named by moments: data@latest, data@2026-11-26T14:51.

An automatic snapshot has no name that anybody gave it. Mooring's own commands take the disk's
name, an `@`, and what chooses among its snapshots:

    data@latest                      the newest that is stored
    data@today, data@yesterday       the newest of that day
    data@2026-11-26                  a day, or more of the moment, of which there must be one only
    data@2026-11-26T14:51:18.787     all of the moment, as `mooring usage` shows it

All in UTC. A disk in a snapshot of an instance follows after a slash: web@latest/data,
before-upgrade/data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mooring.model.counts import counted
from mooring.model.errors import InvalidInputException, NotFoundException
from mooring.model.names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    Taken = TypeVar("Taken")

LATEST, TODAY, YESTERDAY = "latest", "today", "yesterday"

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{3})?)?)?"
_WHEN = rf"{LATEST}|{TODAY}|{YESTERDAY}|{_DATE}"
_NAME = re.compile(rf"([^@:/]+)@({_WHEN})(?:/([^@:/]+))?", re.ASCII)
_PLACE = re.compile(rf"([^@:/]+@(?:{_WHEN})(?:/[^@:/]+)?)(?::(.*))?", re.ASCII | re.DOTALL)
_SHOWN = 6
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class AutoName:
    """The disk or instance `of` whose automatic snapshot is meant, and what chooses it.

    `part`: the disk whose part of an instance's snapshot it is; None for the whole.
    """

    of: str
    when: str
    part: str | None = None


def read_auto_name(text: str) -> AutoName | None:
    """What a name with an `@` means; None for one without. Raises InvalidInputException."""
    if "@" not in text:
        return None
    found = _NAME.fullmatch(text)
    if found is None:
        raise InvalidInputException(
            f"{text[:80]} is not the name of an automatic snapshot. After the disk's name and @ "
            "comes latest, today, yesterday, a day such as 2026-11-26, or more of the moment, "
            "such as 2026-11-26T14:51 or 2026-11-26T14:51:18.787, in UTC."
        )
    if found[2] not in (LATEST, TODAY, YESTERDAY) and not _is_moment(found[2]):
        raise InvalidInputException(
            f"{text[:80]} is not the name of an automatic snapshot: {found[2]} is not a "
            f"date{' and time' if 'T' in found[2] else ''}."
        )
    return AutoName(found[1], found[2], found[3])


def bearer_of(name: str) -> str:
    """The name of the resource by which a snapshot's name finds it: what stands before @ or /."""
    return name.partition("@")[0].partition("/")[0]


def split_place(text: str) -> tuple[str, str]:
    """`SNAPSHOT:PATH` as both; the path is `/` without one.

    Colons of a moment belong to the snapshot, so as much as can be a moment is one: in
    `data@2026-11-26T14:51:18` the 18 are seconds. A path that begins with a slash is never taken
    for that.
    """
    if found := _PLACE.fullmatch(text):
        return found[1], found[2] or "/"
    snapshot, _, path = text.partition(":")
    return snapshot, path or "/"


def choose(
    name: AutoName,
    taken: Sequence[Taken],
    stamp: Callable[[Taken], str],
    is_stored: Callable[[Taken], bool],
    now_ms: int,
) -> Taken:
    """The one automatic snapshot that the name means, of all that were taken, oldest first.

    `stamp` tells the whole moment of each. A word chooses the newest of those that are stored; a
    moment, or the beginning of one, must fit only one: of those that are stored, if any is. Raises
    NotFoundException, InvalidInputException.
    """
    stored = [one for one in taken if is_stored(one)]
    if name.when == LATEST:
        found = stored[-1:]
    elif name.when in (TODAY, YESTERDAY):
        wanted = _day(now_ms - (_DAY_MS if name.when == YESTERDAY else 0))
        found = [one for one in stored if stamp(one).startswith(wanted)][-1:]
    else:
        fitting = [one for one in taken if stamp(one).startswith(name.when)]
        found = [one for one in fitting if is_stored(one)] or fitting
    if not found:
        raise NotFoundException(
            f"The automatic snapshot does not exist: {name.of}@{name.when}. "
            f"{_others(name, [stamp(one) for one in stored])}"
        )
    if len(found) > 1:
        stamps = [stamp(one) for one in found]
        raise InvalidInputException(
            f"{name.of}@{name.when} can be any of {counted(len(stamps), 'automatic snapshot')}; "
            "name one: "
            f"{_listed(name, stamps)}."
        )
    return found[0]


def _others(name: AutoName, stamps: list[str]) -> str:
    if not stamps:
        return f"{name.of} has none that is stored; get-auto-snapshots lists all."
    return f"The newest: {_listed(name, stamps)}; get-auto-snapshots lists all."


def _listed(name: AutoName, stamps: list[str]) -> str:
    ending = "" if name.part is None else f"/{name.part}"
    newest = [f"{name.of}@{stamp}{ending}" for stamp in stamps[: -_SHOWN - 1 : -1]]
    return ", ".join(newest) + (", ..." if len(stamps) > _SHOWN else "")


def check_date(text: str) -> str:
    """Return a day, or more of a moment, that names automatic snapshots in Lightsail's operations.

    The same dates as after an @. Raises InvalidInputException.
    """
    if not re.fullmatch(_DATE, text):
        raise InvalidInputException(
            f"The date {shown(text)} is not valid. It must be in the form YYYY-MM-DD, or more of "
            "the moment in UTC, such as 2026-11-26T14:51 or 2026-11-26T14:51:18; "
            "get-auto-snapshots lists them."
        )
    if not _is_moment(text):
        raise InvalidInputException(f"The date {text} is not valid: there is no such day or time.")
    return text


def _is_moment(text: str) -> bool:
    """Whether there is such a day, or such a time of one: the calendar has no 2026-13-45."""
    from datetime import datetime

    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _day(time_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")
