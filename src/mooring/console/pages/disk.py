"""Disk: its snapshots on a line of time, its rhythm, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from mooring.console.visit import Visit
from mooring.model.automatic.health import every
from mooring.model.automatic.rhythm import EXAMPLE, NO_RHYTHMS, RHYTHMS_TAG, parse_rhythms
from mooring.model.counts import counted
from mooring.model.errors import InvalidInputException, ServiceError
from mooring.nbd.uri import parse_uri
from mooring.nbd.uri_forms import FORMS

FIRST = 12
"""Snapshots that are listed at first; the timeline has more."""


async def show(visit: Visit) -> Response:
    """The page."""
    name = visit.query.get("name", "")
    disk = (await visit.ask("GetDisk", diskName=name))["disk"]
    told = await visit.ask("timeline", diskName=name, pageToken=visit.query.get("page"))
    state = await _state(visit, name)
    wanted = visit.query.get("rhythms", "")
    return visit.page(
        "disk.html",
        name,
        disk=disk,
        told=told,
        state=state,
        tags={one["key"]: one["value"] for one in disk["tags"]},
        wanted=wanted,
        shown=len(told["snapshots"]) if visit.query.get("all") else FIRST,
        preview=_preview(wanted) if wanted else None,
        rhythms_tag=RHYTHMS_TAG,
        example=EXAMPLE,
        # Asked for only when wanted: it opens a way to the data, and the audit log tells of it.
        uses=await _uses(visit, name) if visit.query.get("use") else None,
    )


async def take_snapshot(visit: Visit) -> Response:
    """Take a snapshot now."""
    name = visit.form.get("name", "")
    wanted = visit.form.get("snapshot", "").strip()
    await visit.ask("CreateDiskSnapshot", diskName=name, diskSnapshotName=wanted)
    return visit.go("disk", name=name, done="snapshot")


async def set_rhythms(visit: Visit) -> Response:
    """Set the rhythms of the disk's tag, or take the tag away."""
    name, wanted = visit.form.get("name", ""), visit.form.get("rhythms", "").strip()
    if not wanted:
        await visit.ask("UntagResource", resourceName=name, tagKeys=[RHYTHMS_TAG])
        return visit.go("disk", name=name, done="no-rhythms")
    if wanted.lower() != NO_RHYTHMS:
        parse_rhythms(wanted)
    # Tags have no commas, which rhythms may have been given with.
    value = wanted.replace(",", " /")
    await visit.ask("TagResource", resourceName=name, tags=[{"key": RHYTHMS_TAG, "value": value}])
    return visit.go("disk", name=name, done="rhythms")


async def _state(visit: Visit, name: str) -> Mapping[str, Any] | None:
    """Who uses it, and how far it is filled; None if its host cannot be asked, or none has it."""
    try:
        return await visit.ask("disk", diskName=name)
    except ServiceError:
        return None


async def _uses(visit: Visit, name: str) -> Mapping[str, str] | None:
    """What to paste to use the disk, as `mooring uri --as` prints it, for those who may."""
    if not visit.may("uri"):
        return None
    try:
        uri = str((await visit.ask("uri", diskName=name))["uri"])
    except ServiceError:
        return None
    place = parse_uri(uri)
    return {"": uri, **{form: write(place).rstrip("\n") for form, write in FORMS.items()}}


def _preview(text: str) -> list[str]:
    """What rhythms would keep, in words; or what is wrong with them."""
    if text.strip().lower() == NO_RHYTHMS:
        return ["No automatic snapshots would be taken."]
    try:
        rhythms = parse_rhythms(text)
    except InvalidInputException as error:
        return [error.message]
    told = []
    for one in rhythms:
        kept = one.keep_ms // one.period_ms
        told.append(
            f"One {every(one.period_ms)}, each kept for {_span(one.keep_ms)}: "
            f"{counted(kept, 'snapshot')} at most"
        )
    return told


def _span(length_ms: int) -> str:
    text = every(length_ms).removeprefix("every ")
    return text if text[0].isdigit() else f"one {text}"
