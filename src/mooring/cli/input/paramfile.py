"""Option values that name a file or a page: file://, fileb://, http://."""

from __future__ import annotations

import os

from mooring.model.errors import CommandError


def load(value: object, remote: bool) -> str | bytes | None:
    """What the value names, or None if it names nothing.

    `file://` gives text, `fileb://` bytes; with `remote`, `http://` and `https://` are fetched.
    Raises CommandError if it cannot be loaded.
    """
    if not isinstance(value, str):
        return None
    if value.startswith("file://"):
        return _read_text(value, value[len("file://") :])
    if value.startswith("fileb://"):
        return _read_bytes(value, value[len("fileb://") :])
    if remote and value.startswith(("http://", "https://")):
        return _fetch(value)
    return None


def _read_text(value: str, path: str) -> str:
    path = _expanded(path)
    try:
        with open(path) as file:  # noqa: PTH123
            return file.read()
    except UnicodeDecodeError:
        raise CommandError(
            f"Unable to load paramfile ({path}), text contents could not be decoded.  If this is "
            "a binary file, please use the fileb:// prefix instead of the file:// prefix.",
            "parameter",
        ) from None
    except OSError as error:
        raise CommandError(f"Unable to load paramfile {value}: {error}", "parameter") from None


def _read_bytes(value: str, path: str) -> bytes:
    try:
        with open(_expanded(path), "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        raise CommandError(f"Unable to load paramfile {value}: {error}", "parameter") from None


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111


def _fetch(url: str) -> str:
    from mooring.cli.connection import transport

    try:
        reply = transport.send("GET", url, {}, b"", transport.Settings())
    except transport.TransportError as error:
        raise CommandError(f"Unable to retrieve {url}: {error}", "parameter") from None
    if reply.status != 200:
        raise CommandError(
            f"Unable to retrieve {url}: received non 200 status code of {reply.status}", "parameter"
        )
    return reply.body.decode("utf-8", "replace")
