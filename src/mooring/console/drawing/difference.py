"""A map of a disk: which parts differ, as cells in rows."""

from __future__ import annotations

from markupsafe import Markup

from mooring.model.amounts import amount

CELLS, COLUMNS = 1024, 64
_SIZE, _STEP = 13, 15


class Difference:
    """How many bytes differ in each part of a disk. `partial`: not all was looked at."""

    def __init__(self, size: int, cells: int) -> None:
        self.size = size
        self.cell = max(4096, -(-size // cells))
        self.bytes = 0
        self.partial = False
        self._cells = [0] * -(-size // self.cell)

    def add(self, offset: int, length: int) -> None:
        """A range that differs."""
        self.bytes += length
        end = min(offset + length, self.size)
        while offset < end:
            number = offset // self.cell
            here = min(end, (number + 1) * self.cell) - offset
            self._cells[number] += here
            offset += here

    @property
    def text(self) -> str:
        """What the map shows, in words."""
        touched = sum(1 for one in self._cells if one)
        so_far = " in the part looked at" if self.partial else ""
        return (
            f"{amount(self.bytes)} of {amount(self.size)} differ{so_far}, in {touched} of "
            f"{len(self._cells)} parts of {amount(self.cell)}"
        )

    def draw(self) -> Markup:
        """The map."""
        rows = -(-len(self._cells) // COLUMNS)
        cells = Markup("").join(
            Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
                _kind(changed / self.cell),
                number % COLUMNS * _STEP,
                number // COLUMNS * _STEP,
                _SIZE,
                _SIZE,
            )
            for number, changed in enumerate(self._cells)
            if changed
        )
        empty = Markup(
            '<pattern id="cells" width="{0}" height="{0}" patternUnits="userSpaceOnUse">'
            '<rect class="cell" width="{1}" height="{1}" rx="2"/></pattern>'
        ).format(_STEP, _SIZE)
        return Markup(
            '<svg class="diffmap" viewBox="0 0 {0} {1}" role="img"><title>{2}</title>'
            '<defs>{3}</defs><rect width="{0}" height="{1}" fill="url(#cells)"/>{4}</svg>'
        ).format(COLUMNS * _STEP, rows * _STEP, self.text, empty, cells)


def _kind(part: float) -> str:
    return "many" if part > 0.25 else "some"
