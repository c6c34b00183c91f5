"""Links that sign in once: files in the run directory, which the operator's command makes."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from pathlib import Path

from mooring.files import write_whole
from mooring.model.clock import Clock

GOOD_MS = 5 * 60 * 1000
"""How long a link that nobody used is good for."""

_CODE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def make_link(folder: Path, key_id: str, clock: Clock) -> str:
    """Record a link of the key; returns its code. Raises OSError.

    The file's name is the code's digest: whoever sees the folder cannot use the link.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    code = secrets.token_urlsafe(32)
    told = {"key": key_id, "until": clock.now_ms() + GOOD_MS}
    write_whole(folder / _name(code), json.dumps(told), durable=False)
    return code


def use_link(folder: Path, code: str, clock: Clock) -> str | None:
    """The key's id that a link is of, once; None for one that was used, is too old, or unknown."""
    if not _CODE.fullmatch(code):
        return None
    file = folder / _name(code)
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        key_id, until = str(told["key"]), int(told["until"])
        # Of two at the same time one has the file to take away.
        file.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return key_id if clock.now_ms() < until else None


def forget_old(folder: Path, clock: Clock) -> None:
    """Take away links that nobody used in time."""
    try:
        files = list(folder.iterdir())
    except OSError:
        return
    for file in files:
        try:
            until = int(json.loads(file.read_text(encoding="utf-8"))["until"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if clock.now_ms() >= until:
            file.unlink(missing_ok=True)


def _name(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
