"""mooring stat: what Lightsail's replies do not say about a snapshot or disk."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from mooring.cli.own.vault_commands import amount
from mooring.model.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from mooring.cli.own.invocation import Invocation

    Told = dict[str, Any]
    Rows = list[tuple[str, str | None]]


def run(invocation: Invocation, parsed: Namespace) -> int:
    """Run the command; the exit code is returned."""
    named = {
        option: name
        for option in KINDS
        if (name := getattr(parsed, option[2:].replace("-", "_"))) is not None
    }
    if len(named) != 1:
        raise CommandError(f"Name one of {', '.join(KINDS)}.", "usage")
    ((option, name),) = named.items()
    question, member, rows = KINDS[option]
    client = invocation.client()
    told = client.ask(question, {member: name}, "the facts")
    if parsed.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    try:
        shown = [(label, text) for label, text in rows(told) if text is not None]
    except (KeyError, TypeError, ValueError):
        raise client.misunderstood() from None
    width = max(len(label) for label, _ in shown)
    sys.stdout.writelines(f"{label.ljust(width)}  {text}\n" for label, text in shown)
    return 0


def _of_snapshot(told: Told) -> Rows:
    since = (
        told["parentName"]
        or ("a snapshot that has no name or was deleted", "nothing")[not told["incremental"]]
    )
    return [
        ("snapshot", told["diskSnapshotName"]),
        *_state(told),
        ("not yet because", told.get("problem")),
        ("taken", _moment(told["createdAt"])),
        ("completed", _moment(told["completedAt"])),
        ("writes held back", _pause(told["pauseSeconds"])),
        ("consistency", told["consistency"]),
        ("at rest for", _pause(told["quiesceSeconds"])),
        ("not better because", told["quiesceProblem"]),
        ("changes since", since),
        ("changed", _bytes(told["changedBytes"])),
        ("stored", _bytes(told["storedBytes"])),
    ]


def _of_instance_snapshot(told: Told) -> Rows:
    rows: Rows = [
        ("snapshot", told["instanceSnapshotName"]),
        *_state(told),
        ("writes held back", _pause(told["pauseSeconds"])),
        ("changed", _bytes(told["changedBytes"])),
    ]
    for part in told["parts"]:
        state = part["state"]
        if part["changedBytes"] is not None:
            state += f", {_bytes(part['changedBytes'])} changed"
        if part["storedBytes"] is not None:
            state += f", {_bytes(part['storedBytes'])} stored"
        rows.append((f"disk {part['diskName']}", state))
    return rows


def _of_disk(told: Told) -> Rows:
    if told["filled"]:
        filled = None if told["originName"] is None else "all of it"
    elif told["bytesToFill"]:
        part = 100 * told["filledBytes"] / told["bytesToFill"]
        filled = f"{_bytes(told['filledBytes'])} of {_bytes(told['bytesToFill'])}, {part:.0f} %"
    else:
        filled = "not yet"
    return [
        ("disk", told["diskName"]),
        ("state", told["state"]),
        ("reverted to" if told.get("reverted") else "made from", told["originName"]),
        ("filled", filled),
        ("problem" if told["filled"] else "not yet because", told.get("problem")),
        *(("used by", _client(one)) for one in told.get("clients", ())),
        ("refused last", told.get("refused")),
        *(("automatic", one["text"]) for one in told.get("automatic", [])),
    ]


def _client(told: Told) -> str:
    if told.get("address"):
        return f"{told['address']}, over the network"
    if not told["pid"]:
        return "a process that is not visible from the server's host"
    name = told["command"] or "the kernel, for a process that ended"
    count = told["connections"]
    return f"{name}, process {told['pid']}, {count} connection{'s'[: count > 1]}"


def _state(told: Told) -> Rows:
    done = told["state"] != "pending"
    return [("state", told["state"] if done else f"pending, {told['progress']} %")]


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _pause(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.1f} ms"


def _bytes(count: int | None) -> str | None:
    return None if count is None else amount(count)


# Option: the question, its member, and what is shown of the answer.
KINDS: dict[str, tuple[str, str, Callable[[Told], Rows]]] = {
    "--disk-snapshot-name": ("snapshot", "diskSnapshotName", _of_snapshot),
    "--instance-snapshot-name": (
        "instance-snapshot",
        "instanceSnapshotName",
        _of_instance_snapshot,
    ),
    "--disk-name": ("disk", "diskName", _of_disk),
}
