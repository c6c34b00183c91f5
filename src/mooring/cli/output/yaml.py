"""YAML output: keys in order of the alphabet, text quoted only where it must be."""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

# Plain text is what no YAML reader can take for anything else: no number, date, boolean or null,
# no sign that has a meaning, no space at either end.
_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+(-][A-Za-z0-9_./@+)-]*)*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def write(value: Any, stream: TextIO) -> None:
    """Write the value as one YAML document, without a marker."""
    stream.write("\n".join(block(value)) + "\n")


def scalar(value: object) -> str:
    """A plain value as YAML writes it on one line."""
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text)


def block(value: Any) -> list[str]:
    """The lines of a value, without indentation of their own."""
    if isinstance(value, dict) and value:
        lines = []
        for key in sorted(value):
            inner = value[key]
            if isinstance(inner, dict) and inner:
                lines += [f"{scalar(key)}:", *(f"  {line}" for line in block(inner))]
            elif isinstance(inner, list) and inner:
                lines += [f"{scalar(key)}:", *block(inner)]
            else:
                lines.append(f"{scalar(key)}: {block(inner)[0]}")
        return lines
    if isinstance(value, list) and value:
        lines = []
        for item in value:
            first, *rest = block(item)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return ["{}" if isinstance(value, dict) else "[]" if isinstance(value, list) else scalar(value)]
