"""Reads file systems in snapshots, in a process of its own for each question."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from mooring.console.visit import Visit
from mooring.model.errors import (
    OperationFailureException,
    ServiceError,
    ThrottlingException,
)
from mooring.nbd.uri import parse_uri

AT_ONCE = 8
"""Processes that read at the same time."""

LIST_SECONDS = 60.0
"""How long a directory may take."""

IDLE_SECONDS = 60
"""How long a snapshot can still be read whose reader was killed."""

LONGEST_SECONDS = 12 * 60 * 60
PIECE = 256 * 1024
_LONGEST_LINE = 8 * 1024 * 1024

_running: set[Process] = set()

Ending = Callable[[], Awaitable[None]]


async def listed(visit: Visit, snapshot: str, partition: str, path: str) -> dict[str, Any]:
    """The entries of a directory. Raises ServiceError."""
    process, end = await _begin(visit, snapshot, partition, "list", path)
    try:
        async with asyncio.timeout(LIST_SECONDS):
            return await _head(process)
    except TimeoutError:
        raise OperationFailureException(
            f"The directory could not be read within {LIST_SECONDS:g} seconds."
        ) from None
    finally:
        await end()


async def opened(
    visit: Visit, snapshot: str, partition: str, path: str
) -> tuple[dict[str, Any], AsyncIterator[bytes]]:
    """What a file is called and how large it is, and its content. Raises ServiceError."""
    process, end = await _begin(visit, snapshot, partition, "file", path)
    try:
        head = await _head(process)
    except BaseException:
        await end()
        raise
    return head, _content(process, end, int(head["size"]))


async def _content(process: Process, end: Ending, size: int) -> AsyncIterator[bytes]:
    assert process.stdout is not None
    try:
        left = size
        while left > 0 and (piece := await process.stdout.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
    finally:
        await end()


async def _begin(
    visit: Visit, snapshot: str, partition: str, act: str, path: str
) -> tuple[Process, Ending]:
    """Start a reader; what is given back ends it, and the grant that it reads by."""
    if len(_running) >= AT_ONCE:
        raise ThrottlingException(
            "Too many snapshots are being looked into: try again in a moment."
        )
    told = await visit.ask(
        "grant", diskSnapshotName=snapshot, seconds=LONGEST_SECONDS, idleSeconds=IDLE_SECONDS
    )
    uri = str(told["uri"])
    command = ["-m", "mooring.cli.files.told"]

    async def withdraw() -> None:
        with suppress(ServiceError):  # it ends by itself
            await visit.ask("withdraw", export=parse_uri(uri).export)

    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            limit=_LONGEST_LINE,
        )  # fmt: skip
    except OSError as error:
        await withdraw()
        raise OperationFailureException(
            f"The snapshot cannot be looked into: {error.strerror}."
        ) from error
    _running.add(process)
    assert process.stdin is not None
    asked = json.dumps([uri, snapshot, partition, act, path])
    process.stdin.write(asked.encode() + b"\n")
    process.stdin.close()

    async def end() -> None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        _running.discard(process)
        await withdraw()

    return process, lambda: asyncio.shield(asyncio.ensure_future(end()))


async def _head(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    try:
        head = json.loads(line)
    except ValueError:
        raise OperationFailureException(
            "The file system could not be read: its reader was ended. It may be damaged."
        ) from None
    if "error" in head:
        raise OperationFailureException(str(head["error"]))
    return dict(head)
