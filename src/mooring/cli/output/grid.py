"""A table of sections drawn with characters, fitted to the terminal."""

from __future__ import annotations

import sys

from mooring.streams import shown, write_as_it_is

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import TextIO

DEFAULT_WIDTH = 80
_PADDING = 4
_RESET = "\x1b[0m"
_CELL = "\x1b[1m\x1b[34m"
_EDGE = "\x1b[2m\x1b[33m"


def display_width(text: str) -> int:
    """Columns that a terminal needs for the text; wide and ambiguous characters need two."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(letter) in "WFA" else 1 for letter in text)


def terminal_width() -> int:
    """Columns of the terminal that standard output is, else 80."""
    try:
        import struct
        from fcntl import ioctl
        from termios import TIOCGWINSZ

        reply = ioctl(sys.stdout, TIOCGWINSZ, b"\0" * 8)
        return int(struct.unpack("hhhh", reply)[1])
    except (ImportError, OSError, ValueError, TypeError):
        return DEFAULT_WIDTH


class Section:
    """A title, a header row perhaps, and rows; `depth` is how many frames stand around it."""

    def __init__(self, title: str, depth: int) -> None:
        self.title = title
        self.depth = depth
        self.headers: list[str] = []
        self.rows: list[list[str]] = []
        self.columns: int | None = None
        self.widths: list[int] = []

    def set_headers(self, headers: list[str]) -> None:
        self._widen(headers)
        if self.columns is None:
            self.columns = len(headers)
        self.headers = headers

    def add_row(self, cells: Collection[object]) -> None:
        """Add a row. Raises ValueError if it has more or fewer cells than the others."""
        if self.columns is None:
            self.columns = len(cells)
        if len(cells) != self.columns:
            raise ValueError(
                f"Row should have {self.columns} elements, instead it has {len(cells)}"
            )
        row = [str(cell) for cell in cells]
        self.rows.append(row)
        self._widen(row)

    def upright(self) -> Section:
        """The section with its one row stood up: a line per header. Others come back unchanged."""
        if len(self.rows) != 1 or not self.headers:
            return self
        turned = Section(self.title, self.depth)
        for header, cell in zip(self.headers, self.rows[0], strict=True):
            turned.add_row([header, cell])
        return turned

    def total_width(self) -> int:
        frames = 2 * self.depth
        cells = sum(self.widths) + _PADDING * len(self.widths) + 2 + frames
        return max(display_width(self.title) + 2 + frames, cells)

    def fitted_widths(self, total: int) -> list[int]:
        """Column widths with padding that add up to `total`."""
        wanted = [width + _PADDING for width in self.widths]
        if not wanted:
            return wanted
        factor = total / float(sum(wanted))
        fitted = [round(factor * width) for width in wanted]
        excess = sum(fitted) - total
        while excess:
            order = range(len(fitted)) if excess > 0 else range(len(fitted) - 1, -1, -1)
            for index in order:
                step = 1 if excess > 0 else -1
                fitted[index] -= step
                excess -= step
                if not excess:
                    break
        return fitted

    def _widen(self, cells: list[str]) -> None:
        widths = [display_width(cell) for cell in cells]
        if self.widths:
            for index, width in enumerate(widths):
                self.widths[index] = max(self.widths[index], width)
        else:
            self.widths = widths


class Grid:
    """Sections below each other, as wide as the widest; turned upright where they do not fit."""

    def __init__(self, colored: bool) -> None:
        self.colored = colored
        self.sections: list[Section] = []

    def open(self, title: str, depth: int) -> Section:
        """Start a section; it is the last one until the next call."""
        self.sections.append(Section(title, depth))
        return self.sections[-1]

    def draw(self, stream: TextIO) -> None:
        sections = self.sections
        width = max(section.total_width() for section in sections)
        if width > terminal_width():
            sections = [section.upright() for section in sections]
            width = max(section.total_width() for section in sections)
        stream.write("-" * width + "\n")
        for section in sections:
            edge = self._styled("|", _EDGE) * section.depth
            for line in self._lines(section, width - 2 * section.depth):
                text = f"{edge}{line}{edge}\n"
                # Colours are ours; with them, what others wrote has been made harmless below.
                write_as_it_is(stream, text) if self.colored else stream.write(text)

    def _lines(self, section: Section, width: int) -> list[str]:
        lines = []
        if section.title:
            lines.append(_centered(self._harmless(section.title), width, "|"))
            if not section.headers and not section.rows:
                lines.append(f"+{'-' * (width - 2)}+")
        widths = section.fitted_widths(width)
        rule = _rule(widths)
        if section.headers:
            cells = [
                _centered(self._harmless(header), cell_width, "" if index else "|")
                for index, (cell_width, header) in enumerate(
                    zip(widths, section.headers, strict=False)
                )
            ]
            lines += [rule, "".join(cells)]
        if section.rows and widths:
            lines.append(rule)
            for row in section.rows:
                cells = [
                    self._cell(text, cell_width, "" if index else "|")
                    for index, (cell_width, text) in enumerate(zip(widths, row, strict=False))
                ]
                lines.append("".join(cells))
            lines.append(rule)
        return lines

    def _cell(self, text: str, width: int, left: str) -> str:
        length = display_width(text)
        padding = 2 if width - (length + 2 + len(left) + 1) >= 0 else 0
        after = width - (len(left) + padding + length) - 1
        return f"{left}{' ' * padding}{self._styled(text, _CELL)}{' ' * after}|"

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{shown(text)}{_RESET}" if self.colored else text

    def _harmless(self, text: str) -> str:
        return shown(text) if self.colored else text


def _centered(text: str, width: int, left: str) -> str:
    length = display_width(text)
    before = width // 2 - length // 2 - 1
    after = width - 1 - (len(left) + before + length)
    return f"{left}{' ' * before}{text}{' ' * after}|"


def _rule(widths: list[int]) -> str:
    return "".join(
        f"{'-' * (width - 1)}+" if index else f"+{'-' * (width - 2)}+"
        for index, width in enumerate(widths)
    )
