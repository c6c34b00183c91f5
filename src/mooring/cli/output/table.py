"""Table output: an answer's structure as sections of a grid."""

from __future__ import annotations

from mooring.cli.output.grid import Grid, Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


def write(title: str, value: Any, stream: TextIO, colored: bool) -> None:
    """Draw the value under the title; nothing at all if the value is empty."""
    grid = Grid(colored)
    if _add(grid, title, value, 0):
        grid.draw(stream)


def _add(grid: Grid, title: str | None, value: Any, depth: int) -> bool:
    if not value:
        return False
    if title is not None:
        grid.open(title, depth)
    if isinstance(value, list):
        if isinstance(value[0], dict):
            _add_rows(grid, title, value, depth)
        else:
            _add_items(grid, value)
    elif isinstance(value, dict):
        _add_mapping(grid, value, depth)
    return True


def _add_items(grid: Grid, items: list[Any]) -> None:
    for item in items:
        if _is_scalar(item):
            _current(grid).add_row([item])
        elif all(_is_scalar(inner) for inner in item):
            _current(grid).add_row(item)
        else:
            _add(grid, None, item, 0)


def _add_mapping(grid: Grid, value: dict[str, Any], depth: int) -> None:
    headers, nested = _split(value)
    if len(headers) == 1:
        _current(grid).add_row([headers[0], value[headers[0]]])
    elif headers:
        _current(grid).set_headers(headers)
        _current(grid).add_row([value[header] for header in headers])
    for name in nested:
        _add(grid, name, value[name], depth + 1)


def _add_rows(grid: Grid, title: str | None, rows: list[dict[str, Any]], depth: int) -> None:
    splits = [_split(row) for row in rows]
    headers = sorted({header for split in splits for header in split[0]})
    nested = sorted({name for split in splits for name in split[1]})
    _current(grid).set_headers(headers)
    for index, row in enumerate(rows):
        if index and nested:
            # What lies inside the row before ended the section.
            grid.open(title or "", depth).set_headers(headers)
        _current(grid).add_row([row.get(header, "") for header in headers])
        for name in nested:
            if name in row:
                _add(grid, name, row[name], depth + 1)


def _current(grid: Grid) -> Section:
    return grid.sections[-1]


def _split(value: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names of plain values, and names of lists and mappings, both sorted."""
    headers = [name for name in value if _is_scalar(value[name])]
    nested = [name for name in value if not _is_scalar(value[name])]
    return sorted(headers), sorted(nested)


def _is_scalar(value: object) -> bool:
    return not isinstance(value, list | dict)
