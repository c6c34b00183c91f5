"""Reads the YAML that --generate-cli-skeleton yaml-input prints, and what people make of it."""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#:'"\[{&*!|>%@`][^#:]*?)\s*:(?:\s+|$)"""
)
_INTEGER = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}


def parse(text: str) -> Any:
    """The value of the document: block mappings and lists, plain and quoted words, JSON inside.

    Raises ValueError, naming the line, for what is not that: anchors, tags, several documents and
    folded text are not understood.
    """
    reader = _Reader(text)
    if not reader.lines:
        return None
    value = reader.block(reader.lines[0][1])
    if reader.at < len(reader.lines):
        raise reader.error("not expected here")
    return value


class _Reader:
    """Lines as (number, indent, text), without comments and empty lines."""

    def __init__(self, text: str) -> None:
        self.lines: list[tuple[int, int, str]] = []
        self.at = 0
        for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
            line = _without_comment(raw).rstrip()
            if line.strip() in {"", "---", "..."}:
                continue
            stripped = line.lstrip(" ")
            if stripped.startswith("\t"):
                raise ValueError(f"line {number}: tabs do not indent in YAML")
            self.lines.append((number, len(line) - len(stripped), stripped))

    def block(self, indent: int) -> Any:
        """A mapping, a list, or a plain value at this indent."""
        text = self.lines[self.at][2]
        if text == "-" or text.startswith("- "):
            return self._list(indent)
        if _KEY.match(text):
            return self._mapping(indent)
        self.at += 1
        return self._flow(text)

    def error(self, message: str) -> ValueError:
        number, _, text = self.lines[min(self.at, len(self.lines) - 1)]
        return ValueError(f"line {number}: {message}: {text}")

    def _here(self, indent: int) -> str | None:
        if self.at < len(self.lines) and self.lines[self.at][1] == indent:
            return self.lines[self.at][2]
        return None

    def _list(self, indent: int) -> list[Any]:
        items = []
        while (text := self._here(indent)) is not None and (text == "-" or text.startswith("- ")):
            rest = text[1:].lstrip(" ")
            if rest:
                # What follows the dash is a block of its own, indented by what stands before it.
                number = self.lines[self.at][0]
                inner = indent + len(text) - len(rest)
                self.lines[self.at] = (number, inner, rest)
                items.append(self.block(inner))
            else:
                self.at += 1
                items.append(self._nested(indent + 1))
        return items

    def _mapping(self, indent: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while (text := self._here(indent)) is not None:
            found = _KEY.match(text)
            if found is None:
                raise self.error("no key")
            key = self._flow(found.group(1), is_key=True)
            rest = text[found.end() :]
            self.at += 1
            if rest:
                values[key] = self._flow(rest)
            else:
                text = self._here(indent)
                if text is not None and text.startswith("-"):
                    values[key] = self._list(indent)
                else:
                    values[key] = self._nested(indent + 1)
        return values

    def _nested(self, least: int) -> Any:
        if self.at < len(self.lines) and self.lines[self.at][1] >= least:
            return self.block(self.lines[self.at][1])
        return None

    def _flow(self, text: str, is_key: bool = False) -> Any:
        if text.startswith("'") and text.endswith("'") and len(text) > 1:
            return text[1:-1].replace("''", "'")
        if text[0] in '"[{':
            try:
                return json.loads(text)
            except ValueError:
                self.at -= not is_key
                raise self.error("not JSON") from None
        if text[0] in "&*!|>%@`":
            self.at -= not is_key
            raise self.error("this part of YAML is not understood")
        return text if is_key else _plain(text)


def _plain(text: str) -> Any:
    lowered = text.lower()
    if lowered in _CONSTANTS:
        return _CONSTANTS[lowered]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _without_comment(line: str) -> str:
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (place == 0 or line[place - 1] in " :[{,-"):
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1] in " \t"):
            return line[:place]
    return line
