"""Files: a snapshot's directories, and files to download."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from starlette.responses import Response, StreamingResponse

from mooring.console.guard import status_of
from mooring.console.snapshot_reader import listed, opened
from mooring.console.visit import Visit, address
from mooring.model.errors import OperationFailureException


async def show(visit: Visit) -> Response:
    """The entries of a directory."""
    given = _given(visit)
    snapshot, path = given.get("name", ""), given.get("path", "/")
    partition = given.get("partition", "")
    told, problem = None, None
    try:
        _check_partition(partition)
        told = await listed(visit, snapshot, partition, path)
    except OperationFailureException as error:
        problem = error
    where = [part for part in path.split("/") if part]
    return visit.page(
        "files.html",
        f"Files of {snapshot}",
        snapshot=snapshot,
        told=told,
        problem=problem,
        # A field for numbers takes nothing else.
        partition=partition if _PARTITION.fullmatch(partition) else "",
        status=200 if problem is None else status_of(problem),
        steps=[
            (_shown(part), _link(visit, "files", given, "/" + "/".join(where[: number + 1])))
            for number, part in enumerate(where)
        ],
        top=_link(visit, "files", given, "/"),
        entries=[
            (
                one,
                f"{_link(visit, _page_of(one), given, path.rstrip('/') + '/')}{one['quoted']}",
            )
            for one in (told or {"entries": []})["entries"]
        ],
        path=_shown(path),
    )


async def download(visit: Visit) -> Response:
    """A file as it is."""
    given = _given(visit)
    snapshot, path = given.get("name", ""), given.get("path", "/")
    _check_partition(given.get("partition", ""))
    head, content = await opened(visit, snapshot, given.get("partition", ""), path)
    name = unquote_to_bytes(str(head["name"]))
    plain = "".join(chr(one) if one in _PLAIN else "_" for one in name).lstrip(".") or "file"
    return StreamingResponse(
        content,
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(head["size"]),
            # Nothing of a snapshot is ever shown as a page of this server.
            "Content-Disposition": (
                f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
            ),
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def _check_partition(text: str) -> None:
    if text and not _PARTITION.fullmatch(text):
        raise OperationFailureException("The number of a partition is 1 or more.")


_PARTITION = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


def _given(visit: Visit) -> Mapping[str, str]:
    """The address's members; names of files have any bytes, so they are read as such."""
    raw = visit.request.scope["query_string"].decode("latin-1")
    return dict(parse_qsl(raw, encoding="utf-8", errors="surrogateescape", max_num_fields=20))


def _link(visit: Visit, page: str, given: Mapping[str, str], path: str) -> str:
    query = {"name": given.get("name", ""), "partition": given.get("partition", "")}
    joined = quote(path.encode("utf-8", "surrogateescape"), safe="/")
    return f"{address(visit.region, page, **query)}&path={joined}"


def _page_of(entry: Mapping[str, object]) -> str:
    return "files" if entry["kind"] in ("directory", "link") else "download"


def _shown(text: str) -> str:
    return "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for one in text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
