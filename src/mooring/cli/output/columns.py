"""Lines of columns for people: fitted to the terminal, sizes and dates short."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

from mooring.cli.output.grid import DEFAULT_WIDTH, terminal_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GAP = "  "
NOTHING = "-"
_LEAST = 8
_ENDLESS = 10_000
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def width() -> int:
    """Columns that a line may have: those of the terminal, or of `COLUMNS`; else as many as needed.

    What is piped elsewhere is cut nowhere: somebody may look for what was at its end.
    """
    if sys.stdout.isatty():
        return terminal_width() or DEFAULT_WIDTH
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() and int(given) > 0 else _ENDLESS


def columns_of(text: str) -> int:
    """Columns that a terminal needs: two for wide letters, none for marks on others."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text
    )


def lines(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    columns: int,
    *,
    right: str = "",
    wide: Sequence[int] = (0,),
) -> list[str]:
    """The headings and a line for each row, no longer than so many columns.

    `right` has an `r` for each column that is flush right. Where all do not fit, the columns `wide`
    are cut, in this order, and at last what is beyond the end of the line.
    """
    cells = [list(headings), *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(columns_of(row[at]) for row in cells) for at in range(len(headings))]
    for at in wide:
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - columns
        if excess > 0:
            widths[at] = max(min(_LEAST, widths[at]), widths[at] - excess)
    rights = right.ljust(len(widths))
    return [
        cut(
            GAP.join(
                _padded(cut(cell, size), size, flush == "r")
                for cell, size, flush in zip(row, widths, rights, strict=False)
            ).rstrip(),
            columns,
        )
        for row in cells
    ]


def _padded(text: str, size: int, right: bool) -> str:
    blanks = " " * (size - columns_of(text))
    return blanks + text if right else text + blanks


def cut(text: str, columns: int) -> str:
    """The text, with an ellipsis for what does not fit."""
    if columns_of(text) <= columns:
        return text
    while text and columns_of(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def size(count: float | None) -> str:
    """Bytes in four digits at most: `1.2 GiB`."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in _UNITS[:-1]:
        # What would be rounded to 1024 is one of the next unit.
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def date(seconds: float | None) -> str:
    """A moment as local time, to the minute."""
    if seconds is None:
        return NOTHING
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def short_date(seconds: float | None, now: float) -> str:
    """The same in fewer letters, as `ls` does: the year only where it is another one."""
    text, today = date(seconds), date(now)
    if seconds is None:
        return text
    return text[5:] if text[:5] == today[:5] else text[:10]


def span(seconds: float | None) -> str:
    """A length of time in one unit: `3 d`, `5 h`, `12 min`, `8 s`."""
    if seconds is None:
        return NOTHING
    left = max(0.0, seconds)
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if left >= 2 * unit:
            return f"{left / unit:.0f} {name}"
    return f"{left:.0f} s"


def write(found: Iterable[str]) -> None:
    """Print lines."""
    sys.stdout.writelines(f"{one}\n" for one in found)
