"""Reads the audit log backwards: the newest lines first, a piece at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ_BYTES = 16 * 1024 * 1024
"""How much is read for one answer, at most; the next one goes on from there."""

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Trail:
    """Lines, newest first, and where those before them are; None at the beginning."""

    lines: list[dict[str, Any]]
    more: str | None


def read_trail(path: Path, text: str, place: str | None, limit: int) -> Trail:
    """Up to so many lines that contain the text, in any case, before a place.

    The place names a file by its inode, so that it is found when it has been moved on. Raises
    OSError.
    """
    wanted = text.lower()
    found: list[dict[str, Any]] = []
    read = 0
    inode, _, number = (place or "").partition(":")
    begun = not place
    for file in _files(path):
        own = str(file.stat().st_ino)
        if not begun and own != inode:
            continue
        end = int(number) if not begun and number.isdecimal() else file.stat().st_size
        begun = True
        for offset, line in _backwards(file, end):
            read += len(line) + 1
            if wanted in line.lower():
                found += _parsed(line)
            if len(found) >= limit or read >= READ_BYTES:
                return Trail(found, f"{own}:{offset}")
    return Trail(found, None)


def _files(path: Path) -> Iterator[Path]:
    """The log and those that it was moved on to, newest first."""
    number = 0
    file = path
    while file.exists():
        yield file
        number += 1
        file = path.with_name(f"{path.name}.{number}")


def _backwards(path: Path, end: int) -> Iterator[tuple[int, str]]:
    """The lines before a place, last first, each with where it begins."""
    with path.open("rb") as file:
        rest = b""
        while end > 0:
            begin = max(0, end - _PIECE)
            file.seek(begin)
            piece = file.read(end - begin) + rest
            lines = piece.split(b"\n")
            # The first may begin before this piece.
            rest = lines[0]
            offset = begin + len(piece)
            for line in reversed(lines[1:]):
                offset -= len(line)
                if line:
                    yield offset, line.decode("utf-8", "replace")
                offset -= 1
            end = begin
        if rest:
            yield 0, rest.decode("utf-8", "replace")


def _parsed(line: str) -> list[dict[str, Any]]:
    try:
        told = json.loads(line)
    except ValueError:
        return []  # torn when there was no room
    return [told] if isinstance(told, dict) else []
