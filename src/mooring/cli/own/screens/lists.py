"""mooring list: disks, snapshots or instances, one line each."""

from __future__ import annotations

from mooring.cli.output.columns import NOTHING, lines, short_date, size, span, width, write
from mooring.cli.own.screens.watching import shown_again
from mooring.model.clock import SystemClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.own.invocation import Invocation

    Told = dict[str, Any]


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    kind = parsed.choice
    members = {}
    if kind == "snapshots" and parsed.disk_name is not None:
        members["diskName"] = parsed.disk_name
    client = invocation.client()

    def make() -> Callable[[], None]:
        found = _all(client, kind, members)
        if invocation.is_for_programs:
            return lambda: invocation.show("List", {kind: found})
        try:
            shown = SHOWN[kind](found, SystemClock().now_ms() / 1000)
        except (KeyError, TypeError, ValueError):
            raise client.misunderstood() from None
        return lambda: write(shown)

    return shown_again(make, parsed.watch)


def _all(client: Client, kind: str, members: dict[str, str]) -> list[Told]:
    """All pages together."""
    found: list[Told] = []
    token = None
    while True:
        given = members if token is None else {**members, "pageToken": token}
        page = client.ask(f"list-{kind}", given, f"the {kind}", (kind, "nextPageToken"))
        found += page[kind]
        token = page["nextPageToken"]
        if token is None:
            return found


def _disks(found: Sequence[Told], now: float) -> list[str]:
    rows = [
        (
            one["name"],
            f"{one['sizeInGb']} GB",
            size(one["takenBytes"]),
            _place(one),
            _age(one["newestSnapshotAt"], now),
            _rhythm(one["automatic"]),
        )
        for one in found
    ]
    headings = ("DISK", "SIZE", "TAKES", "STATE", "NEWEST", "AUTOMATIC")
    taken = sum(one["takenBytes"] or 0 for one in found)
    total = sum(one["sizeInGb"] for one in found)
    shown = lines(headings, rows, width(), right=" rr", wide=(3, 0))
    return [*shown, f"{_counted(len(found), 'disk')}, {total} GB, taking {size(taken)} here"]


def _place(one: Told) -> str:
    """Where a disk is used, or why it is not, in few letters."""
    if one["attachedTo"] is not None:
        return f"in {one['attachedTo']}"
    return "free" if one["state"] == "available" else str(one["state"])


def _instances(found: Sequence[Told], now: float) -> list[str]:
    del now
    rows = [
        (
            one["name"],
            one["state"],
            one["blueprintId"],
            str(one["disks"]),
            f"{one['disksGb']} GB",
            one["zone"],
            _rhythm(one["automatic"]),
        )
        for one in found
    ]
    headings = ("INSTANCE", "STATE", "BLUEPRINT", "DISKS", "SIZE", "ZONE", "AUTOMATIC")
    shown = lines(headings, rows, width(), right="   rr", wide=(2, 0))
    return [*shown, _counted(len(found), "instance")]


def _snapshots(found: Sequence[Told], now: float) -> list[str]:
    rows = [
        (
            one["name"],
            short_date(one["createdAt"], now),
            f"{one['sizeInGb']} GB",
            size(one["changedBytes"]),
            size(one["storedBytes"]),
            _state(one),
        )
        for one in sorted(found, key=lambda one: -one["createdAt"])
    ]
    headings = ("SNAPSHOT", "TAKEN", "SIZE", "CHANGED", "STORED", "STATE")
    shown = lines(headings, rows, width(), right="  rrr")
    automatic = sum(one["automatic"] for one in found)
    return [*shown, f"{_counted(len(found), 'snapshot')}, {automatic} of them automatic"]


def _state(one: Told) -> str:
    """In few letters: a line has to hold the moment of an automatic snapshot in full."""
    if one["state"] == "pending":
        return f"{one['progress']} %"
    return "ok" if one["state"] in {"completed", "available"} else str(one["state"]).upper()


def _age(seconds: float | None, now: float) -> str:
    return NOTHING if seconds is None else f"{span(now - seconds)} ago"


def _rhythm(automatic: Sequence[Told]) -> str:
    """The most frequent rhythm, and whether all are kept."""
    if not automatic:
        return NOTHING
    often = min(automatic, key=lambda one: one["everySeconds"])
    late = [one for one in automatic if not one["ok"]]
    return f"LATE: {late[0]['wanted']}" if late else str(often["wanted"])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s'[: count != 1]}"


SHOWN: dict[str, Callable[[Sequence[Told], float], list[str]]] = {
    "disks": _disks,
    "snapshots": _snapshots,
    "instances": _instances,
}
