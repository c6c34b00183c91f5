"""mooring status: how everything is, on one screen."""

from __future__ import annotations

from mooring.cli.output.columns import (
    columns_of,
    cut,
    date,
    lines,
    short_date,
    size,
    span,
    width,
    write,
)
from mooring.cli.own.screens.watching import shown_again

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from mooring.cli.own.invocation import Invocation

    Told = Mapping[str, Any]

_FAR_SECONDS = 2 * 365 * 86_400
"""What is full later than that is not said: nobody knows."""

SHOWN = 8
"""Lines of one part of the screen."""

_WORK = {
    "upload_snapshot": "stores",
    "import_snapshot": "imports",
    "copy_snapshot": "copies",
    "export_snapshot": "exports",
    "fill_disk": "fills",
    "fork_disk": "copies for fork",
    "collect_vault": "collects vault of",
    "verify_vault": "verifies vault of",
    "replicate_vault": "replicates vault of",
}


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    client = invocation.client()

    def make() -> Callable[[], None]:
        told = client.ask("status", {}, "the status")
        if invocation.is_for_programs:
            return lambda: invocation.show("Status", told)
        try:
            shown = list(screen(told, width()))
        except (KeyError, TypeError, ValueError, IndexError):
            raise client.misunderstood() from None
        return lambda: write(shown)

    return shown_again(make, parsed.watch)


def screen(told: Told, columns: int) -> Iterator[str]:
    """The lines, none longer than so many columns."""
    yield cut(_head(told), columns)
    if len(told["servers"]) > 1:
        yield ""
        yield from _servers(told, columns)
    if told["hosts"]:
        yield ""
        yield from _hosts(told, columns)
    if told["troubles"]["count"]:
        yield ""
        yield from _troubles(told, columns)
    yield ""
    yield from _regions(told, columns)
    if told["room"]:
        yield ""
        yield from _room(told, columns)
    if told["automatic"]["shown"]:
        yield ""
        yield from _freshness(told, columns)
    if told["jobs"]["running"] or told["jobs"]["waiting"]:
        yield ""
        yield from _jobs(told, columns)
    if told["failed"]:
        yield ""
        yield from _failures(told, columns)


def _head(told: Told) -> str:
    this = told["servers"][0]
    host = f" on {this['host']}" if this["host"] and this["host"] != this["name"] else ""
    return f"{this['name']}{host}, Mooring {this['version']}, {date(told['at'])}"


def _servers(told: Told, columns: int) -> list[str]:
    rows = [
        (
            one["name"],
            one["host"] or "",
            one["version"],
            one["state"] if one["state"] == "runs" else one["state"].upper(),
            f"{span(one['silentSeconds'])} ago",
        )
        for one in told["servers"]
    ]
    return lines(("SERVER", "HOST", "VERSION", "STATE", "HEARD OF"), rows, columns, wide=(1, 0))


def _hosts(told: Told, columns: int) -> list[str]:
    rows = [
        (
            one["name"],
            one["state"] if one["state"] == "up" else one["state"].upper(),
            str(one["disks"]),
            str(one["instances"]),
            size(one["freeBytes"]),
            size(one["sizeBytes"]),
            ", ".join(one["zones"]) or "none",
        )
        for one in told["hosts"]
    ]
    headings = ("HOST", "STATE", "DISKS", "INSTANCES", "FREE", "OF", "ZONES")
    return lines(headings, rows, columns, right="  rrrr", wide=(6, 0))


def _troubles(told: Told, columns: int) -> Iterator[str]:
    troubles = told["troubles"]
    shown = troubles["shown"][:SHOWN]
    for one in shown:
        mark = "!!" if one["severity"] == "critical" else " !"
        since = f" (since {short_date(one['since'], told['at'])})"
        room = columns - columns_of(since)
        text = " ".join(one["text"].split())
        yield cut(f"{mark} {text}", room) + since
    if (more := troubles["count"] - len(shown)) > 0:
        yield f"   and {more} more"


def _regions(told: Told, columns: int) -> list[str]:
    rows = [
        (
            one["name"],
            str(one["disks"]),
            f"{one['disksGb']} GB",
            str(one["instances"]),
            str(one["snapshots"]),
            str(one["pendingSnapshots"]),
            f"AWAY: {one['vaultProblem']}" if one["vaultProblem"] else "ok",
        )
        for one in told["regions"]
    ]
    headings = ("REGION", "DISKS", "SIZE", "INSTANCES", "SNAPSHOTS", "PENDING", "VAULT")
    return lines(headings, rows, columns, right=" rrrrr", wide=(6, 0))


def _room(told: Told, columns: int) -> list[str]:
    """One line for each file system, with all its uses."""
    uses: dict[Any, list[Told]] = {}
    for one in told["room"]:
        uses.setdefault(one["use"] if one["away"] else one["device"], []).append(one)
    rows = []
    for found in uses.values():
        first, names = found[0], ", ".join(one["use"] for one in found)
        free, whole = first["freeBytes"], first["sizeBytes"]
        if first["away"]:
            rows.append(("-", "-", "-", "-", "AWAY", names))
            continue
        used = f"{100 - 100 * free // max(whole, 1)} %"
        full = [one["secondsUntilFull"] for one in found if one["secondsUntilFull"] is not None]
        left = span(min(full)) if full and min(full) < _FAR_SECONDS else "-"
        state = "SHORT" if first["short"] else "ok"
        rows.append((size(free), size(whole), used, left, state, names))
    headings = ("FREE", "OF", "USED", "FULL IN", "ROOM", "FOR")
    return lines(headings, rows, columns, right="rrrr", wide=())


def _freshness(told: Told, columns: int) -> Iterator[str]:
    automatic, now = told["automatic"], told["at"]
    shown = automatic["shown"][:SHOWN]
    rows = [
        (
            one["name"],
            short_date(one["newestAt"], now),
            "-" if one["newestAt"] is None else span(now - one["newestAt"]),
            one["wanted"],
            _state(one, now),
        )
        for one in shown
    ]
    headings = ("SNAPSHOTS OF", "NEWEST", "AGE", "WANTED", "STATE")
    yield from lines(headings, rows, columns, right="  r", wide=(4, 0))
    known = automatic["wanted"]
    if known is None or known > len(shown):
        others = "others" if known is None else f"{known - len(shown)} more"
        yield f"and {others}; {automatic['late']} late in all: mooring list disks"


def _state(one: Told, now: float) -> str:
    if not one["ok"]:
        return f"LATE: {one['problem'] or 'due but not there'}"
    return "ok" if one["newestAt"] is not None else f"first due {short_date(one['dueAt'], now)}"


def _jobs(told: Told, columns: int) -> Iterator[str]:
    jobs = told["jobs"]
    rows = [_job(one) for one in jobs["shown"][:SHOWN]]
    if rows:
        yield from lines(("RUNS", "DONE", "OF", "RATE", "LEFT"), rows, columns, right=" rrrr")
    rest = jobs["running"] - len(rows)
    if rest > 0 or jobs["waiting"]:
        counts = [(rest, "more run" if rows else "run"), (jobs["waiting"], "wait")]
        yield ", ".join(f"{count} {word}" for count, word in counts if count > 0)


def _job(one: Told) -> tuple[str, ...]:
    work = _WORK.get(one["kind"], one["kind"].replace("_", " "))
    rate = one["bytesPerSecond"]
    return (
        f"{work} {one['resource'] or one['region']}",
        "-" if one["progress"] is None else f"{one['progress']} %",
        size(one["totalBytes"]),
        "-" if rate is None else f"{size(rate)}/s",
        span(one["secondsLeft"]),
    )


def _failures(told: Told, columns: int) -> list[str]:
    rows = [
        (
            short_date(one["at"], told["at"]),
            one["operation"],
            one["resource"],
            one["problem"] or one["code"] or "",
        )
        for one in told["failed"][:SHOWN]
    ]
    return lines(("FAILED", "WHAT", "OF", "BECAUSE"), rows, columns, wide=(3, 2))
