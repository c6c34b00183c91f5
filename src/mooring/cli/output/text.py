"""Text output: tabs between values, keys in order of the alphabet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


def write(value: Any, stream: TextIO) -> None:
    """Write the value as lines. A nested part follows on lines of its own, after its name."""
    _write(value, stream, None, None)


def _write(value: Any, stream: TextIO, name: str | None, columns: list[str] | None) -> None:
    if isinstance(value, dict):
        _write_mapping(value, stream, name, columns)
    elif isinstance(value, list):
        _write_list(value, stream, name)
    else:
        stream.write(f"{value}\n")


def _write_mapping(
    value: dict[str, Any], stream: TextIO, name: str | None, columns: list[str] | None
) -> None:
    if columns is None:
        columns = [key for key in sorted(value) if not isinstance(value[key], dict | list)]
    cells = [str(value.get(column, "")) for column in columns]
    if cells:
        stream.write("\t".join(cells if name is None else [name.upper(), *cells]) + "\n")
    for key in sorted(set(value) - set(columns)):
        _write(value[key], stream, key, None)


def _write_list(value: list[Any], stream: TextIO, name: str | None) -> None:
    if any(isinstance(item, dict) for item in value):
        columns = sorted(
            {
                key
                for item in value
                for key, inner in item.items()
                if not isinstance(inner, dict | list)
            }
        )
        for item in value:
            _write(item, stream, name, columns)
        return
    scalars = [item for item in value if not isinstance(item, list)]
    if scalars:
        _write_scalars(scalars, stream, name)
    for item in value:
        if isinstance(item, list):
            _write(item, stream, name, None)


def _write_scalars(values: list[Any], stream: TextIO, name: str | None) -> None:
    if name is None:
        stream.write("\t".join(str(value) for value in values) + "\n")
        return
    stream.writelines(f"{name.upper()}\t{value}\n" for value in values)
