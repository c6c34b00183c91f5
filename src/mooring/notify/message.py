"""A message about troubles: its subject, its text, and what programs get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mooring.model.automatic.health import span
from mooring.model.counts import counted
from mooring.model.trouble import KnownTrouble, Untold

SHOWN = 20
"""Troubles of one sort that a text lists; all are told, and counted."""

SENT = 200
"""The same for programs; `count` says how many there are."""

_LONGEST_SUBJECT = 120

NOTHING = Untold()


@dataclass(frozen=True, slots=True)
class Message:
    """What has begun, lasts and has ended, at a moment; without anything it is a test."""

    server: str
    at_ms: int
    untold: Untold = NOTHING

    @property
    def subject(self) -> str:
        """One line, which says it all if it is about one trouble."""
        told = self.untold
        if not told:
            return f"[Mooring {self.server}] test: this is where troubles are told"
        some = (*told.begun, *told.lasting, *told.ended)
        if len(some) == 1:
            state = "over: " if told.ended else ("still: " if told.lasting else "")
            what = f"{state}{some[0].trouble.text}"
        else:
            parts = [(told.begun, "new"), (told.lasting, "lasting"), (told.ended, "over")]
            counts = [f"{len(found)} {word}" for found, word in parts if found]
            what = f"{counted(len(some), 'trouble')}: {', '.join(counts)}"
        line = " ".join(f"[Mooring {self.server}] {what}".split())
        return line if len(line) <= _LONGEST_SUBJECT else f"{line[: _LONGEST_SUBJECT - 1]}…"

    @property
    def text(self) -> str:
        """All of it for people."""
        return "\n".join(self._lines()) + "\n"

    @property
    def fields(self) -> dict[str, Any]:
        """All of it for programs. `text` is what chats show (Slack, Mattermost)."""
        states = (
            ("began", self.untold.begun),
            ("lasts", self.untold.lasting),
            ("ended", self.untold.ended),
        )
        return {
            "text": f"{self.subject}\n{self.text}",
            "subject": self.subject,
            "server": self.server,
            "at": self.at_ms / 1000,
            "test": not self.untold,
            "count": sum(len(found) for _, found in states),
            "troubles": [_fields(state, one) for state, found in states for one in found[:SENT]],
        }

    def _lines(self) -> Iterator[str]:
        told = self.untold
        if not told:
            yield "This is a test. Troubles of this Mooring will be told here."
        yield from self._listed("NEW", told.begun)
        yield from self._listed("STILL", told.lasting)
        yield from self._listed("OVER", told.ended)
        yield f"-- {self.server}, {_moment(self.at_ms)}; `mooring status` shows how all is."

    def _listed(self, word: str, found: tuple[KnownTrouble, ...]) -> Iterator[str]:
        for one in found[:SHOWN]:
            yield f"{word} {one.trouble.severity}: {one.trouble.text}"
            end = self.at_ms if one.ended_ms is None else one.ended_ms
            lasted = f"lasted {span(end - one.since_ms)}, " if one.ended_ms is not None else ""
            yield f"    ({lasted}since {_moment(one.since_ms)})"
        if len(found) > SHOWN:
            yield f"{word}: and {len(found) - SHOWN} more"


def _fields(state: str, one: KnownTrouble) -> dict[str, Any]:
    return {
        "state": state,
        "kind": one.trouble.kind,
        "severity": one.trouble.severity,
        "region": one.trouble.region or None,
        "resource": one.trouble.resource or None,
        "text": one.trouble.text,
        "since": one.since_ms / 1000,
        "ended": None if one.ended_ms is None else one.ended_ms / 1000,
    }


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
