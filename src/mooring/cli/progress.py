"""A progress bar on a terminal, and silence elsewhere."""

from __future__ import annotations

import os
import sys

from mooring.streams import shown, write_as_it_is

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from mooring.model.clock import Clock

_FULL = "█"
_PARTS = " ▏▎▍▌▋▊▉"
_LEAST_BAR = 8
_MOST_BAR = 40
# Room for what stands beside the bar, with bytes and without.
_MOST_FACTS = 54
_LEAST_FACTS = 24
# A rate taken over the first moments only is noise.
_RATE_AFTER = 0.5
# 0.29 * 100 is a little less than 29.
_ROUNDING = 1e-9


class Progress:
    """Draws on standard error while work continues. Call `show` as often as you like."""

    def __init__(self, title: str, clock: Clock, stream: TextIO | None = None) -> None:
        self.title = title
        self._clock = clock
        self._stream = sys.stderr if stream is None else stream
        self._draws = self._stream.isatty()
        self._started = clock.monotonic()
        self._first: float | None = None

    def show(self, fraction: float | None, total_bytes: int | None) -> None:
        """Draw the part done, 0 to 1 or None if unknown, of so many bytes or None."""
        if not self._draws:
            return
        if self._first is None and fraction is not None:
            self._first = fraction
        elapsed = self._clock.monotonic() - self._started
        text = line(self.title, fraction, total_bytes, elapsed, self._first or 0.0, self._columns())
        write_as_it_is(self._stream, f"\r\x1b[K{shown(text)}")
        self._stream.flush()

    def clear(self) -> None:
        """Take the bar away."""
        if self._draws:
            write_as_it_is(self._stream, "\r\x1b[K")
            self._stream.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80


def line(
    title: str,
    fraction: float | None,
    total_bytes: int | None,
    elapsed: float,
    first: float,
    columns: int,
) -> str:
    """One line: title, bar, per cent, bytes, rate, time left; what does not fit is left out."""
    title = _shortened(title, columns // 3)
    if fraction is None:
        return f"{title}  {duration(elapsed)}"
    fraction = min(max(fraction, 0.0), 1.0)
    parts = [f"{int(fraction * 100 + _ROUNDING):3d} %"]
    if total_bytes:
        parts.append(f"{size(fraction * total_bytes)} of {size(total_bytes)}")
    gained = fraction - first
    if elapsed >= _RATE_AFTER and gained > 0:
        if total_bytes:
            parts.append(f"{size(gained * total_bytes / elapsed)}/s")
        parts.append(f"{duration(elapsed * (1 - fraction) / gained)} left")
    # The bar's width depends on nothing that changes, or its end would jump about.
    width = columns - len(title) - (_MOST_FACTS if total_bytes else _LEAST_FACTS)
    if width >= _LEAST_BAR:
        parts.insert(0, bar(fraction, min(width, _MOST_BAR)))
    while len(title) + sum(len(part) + 2 for part in parts) > columns - 1 and len(parts) > 1:
        parts.pop()
    return "  ".join([title, *parts])


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def bar(fraction: float, width: int) -> str:
    """A bar of `width` characters, exact to an eighth of one."""
    eighths = round(fraction * width * 8)
    full, rest = divmod(eighths, 8)
    text = _FULL * full + (_PARTS[rest] if rest else "")
    return text.ljust(width, "·")


def size(count: float) -> str:
    """Bytes for people: `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds as `0:07` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
