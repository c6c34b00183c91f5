"""Restore: what, to where, and a look at what will be done before it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from mooring.console.visit import Visit
from mooring.model.automatic.moment import read_auto_name
from mooring.model.errors import InvalidInputException, NotFoundException

BUNDLE = "external"
"""Of new instances: the one that has no size."""

GONE = "gone"
NOW = "now"
"""What stands for the disk as it is, instead of a snapshot."""


MOST_NUMBERED = 10
"""How many names are tried for a new disk: whoever makes more of the same has names for them."""

OF_DISKS = frozenset({"disk", "image", "region"})
"""Ways that take a snapshot of a disk alone, and no part of an instance's."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to get something back: what it is, and the operation that a key needs for it."""

    name: str
    title: str
    text: str
    needs: str


WAYS = [
    Way(
        "disk",
        "A new disk",
        "Beside the one there is. It can be used at once, and is filled in the background.",
        "CreateDiskFromSnapshot",
    ),
    Way(
        "file",
        "Single files",
        "Look into the snapshot, and download what you need. Nothing is changed.",
        "grant",
    ),
    Way(
        "revert",
        "The same disk, set back",
        "It keeps its name and its place. What it holds now is kept as a snapshot.",
        "revert",
    ),
    Way(
        "instance",
        "The whole instance",
        "A new one, with all its disks as they were at that instant.",
        "CreateInstancesFromSnapshot",
    ),
    Way(
        "image",
        "An image file",
        "A raw image in the server's folder for exports.",
        "ExportSnapshot",
    ),
    Way(
        "region",
        "Another region",
        "A copy of the snapshot. Only what is not there yet is transferred.",
        "CopySnapshot",
    ),
]


async def show(visit: Visit) -> Response:
    """The page: what and where to, then what will be done."""
    name = visit.query.get("disk", "")
    chosen, way = visit.query.get("snapshot", ""), visit.query.get("to", "")
    zones = await visit.zones()
    try:
        disk = (await visit.ask("GetDisk", diskName=name))["disk"]
        told = await visit.ask("timeline", diskName=name)
    except NotFoundException:
        if not chosen or chosen == NOW:
            raise
        disk, told = _gone(name, zones), {"snapshots": []}
    snapshots = [one for one in told["snapshots"] if one["state"] == "completed"]
    found = next((one for one in snapshots if one["diskSnapshotName"] == chosen), None)
    if chosen and chosen != NOW and found is None:
        # One of an older page, or of a disk that is gone.
        found = dict(await visit.ask("snapshot", diskSnapshotName=chosen))
        found["isAutomatic"] = read_auto_name(chosen) is not None
    if chosen == NOW and way in ("", "disk"):
        way = "fork"
    if way == "file" and found is not None:
        return visit.go("files", name=chosen)
    is_part = found is not None and bool(found["isPart"])
    unfit = found is not None and way in (OF_DISKS if is_part else {"instance"})
    unfit |= chosen == NOW and way != "fork"
    whole = None
    if is_part and way == "instance":
        whole = await visit.ask("instance-snapshot", instanceSnapshotName=_whole(chosen))
    new_name = _new_name(name, chosen) if whole is None else _new_instance_name(chosen)
    if way in ("disk", "fork"):
        new_name = await _free_name(visit, new_name)
    return visit.page(
        "restore.html",
        f"Restore {name}",
        disk=disk,
        snapshots=snapshots,
        chosen=chosen,
        found=found,
        way=way if chosen and not unfit else "",
        unfit=unfit,
        whole=whole,
        named_whole=_whole_named(chosen) if whole else None,
        bundle=BUNDLE,
        ways=_ways(visit, disk, [found] if found else snapshots),
        regions=[one for one in visit.door.regions if one != visit.region],
        zones=zones,
        gone=disk["state"] == GONE,
        new_name=new_name,
        seconds=_seconds(found),
    )


def _ways(
    visit: Visit, disk: Mapping[str, Any], snapshots: Sequence[Mapping[str, Any]]
) -> list[Way]:
    """The ways that the caller may go, and one of the snapshots allows."""
    parts = [bool(one["isPart"]) for one in snapshots]
    return [
        one
        for one in WAYS
        if visit.may(one.needs)
        and (one.name != "region" or len(visit.door.regions) > 1)
        and (one.name != "revert" or disk["state"] != GONE)
        and (one.name != "instance" or any(parts))
        and (one.name not in OF_DISKS or not parts or not all(parts))
    ]


async def act(visit: Visit) -> Response:
    """Do it."""
    form = visit.form
    name, chosen, way = form.get("disk", ""), form.get("snapshot", ""), form.get("to", "")
    wanted = form.get("name", "").strip()
    if way == "fork":
        await visit.ask("fork", diskName=name, newDiskName=wanted)
        return visit.go("disk", name=wanted, done="fork")
    if way == "disk":
        members: dict[str, Any] = {
            "diskName": wanted,
            "availabilityZone": form.get("zone", ""),
            "sizeInGb": _number(form.get("size", "")),
            **_source(chosen),
        }
        await visit.ask("CreateDiskFromSnapshot", **members)
        return visit.go("disk", name=wanted, done="made")
    if way == "instance":
        await visit.ask(
            "CreateInstancesFromSnapshot",
            instanceNames=[wanted],
            availabilityZone=form.get("zone", ""),
            bundleId=BUNDLE,
            **{one.member: one.value for one in _whole_named(chosen)},
        )
        return visit.go("activity", done="instance")
    if way == "revert":
        discard = form.get("discard") == "yes"
        await visit.ask(
            "revert",
            diskName=name,
            diskSnapshotName=chosen,
            discard=True if discard else None,
            keptSnapshotName=None if discard else wanted or None,
        )
        return visit.go("disk", name=name, done="reverted")
    if way == "image":
        await visit.ask("ExportSnapshot", sourceSnapshotName=chosen)
        return visit.go("activity", done="exported")
    if way == "region":
        target = form.get("region", "")
        source = _source(chosen)
        named: dict[str, object] = {"sourceSnapshotName": source.get("diskSnapshotName")}
        if "restoreDate" in source:
            named = {"sourceResourceName": name, "restoreDate": source["restoreDate"]}
        await visit.ask_elsewhere(
            target,
            "CopySnapshot",
            sourceRegion=visit.region,
            targetSnapshotName=wanted,
            **named,
        )
        return await _lineage(visit, name)
    raise InvalidInputException("Choose where it shall go.")


async def _lineage(visit: Visit, name: str) -> Response:
    """To where the copy is seen; of a disk that is gone, to where the job is."""
    try:
        await visit.ask("GetDisk", diskName=name)
    except NotFoundException:
        return visit.go("activity", done="copied")
    return visit.go("lineage", name=name, done="copied")


def _gone(name: str, zones: list[str]) -> dict[str, Any]:
    """What stands for a disk that is no more: its snapshots outlive it."""
    return {"name": name, "state": GONE, "location": {"availabilityZone": zones[0]}}


def _source(snapshot: str) -> dict[str, object]:
    """The members that name the snapshot."""
    auto = read_auto_name(snapshot)
    if auto is None:
        return {"diskSnapshotName": snapshot}
    return {"sourceDiskName": auto.of, "restoreDate": auto.when}


def _whole(part: str) -> str:
    """The name of the instance's snapshot that a part is of."""
    return part.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Named:
    """A member that names a snapshot, the option of the command line, and its value."""

    member: str
    option: str
    value: str


def _whole_named(part: str) -> list[Named]:
    """What names the snapshot of all disks that a part is of."""
    whole = _whole(part)
    auto = read_auto_name(whole)
    if auto is None:
        return [Named("instanceSnapshotName", "--instance-snapshot-name", whole)]
    return [
        Named("sourceInstanceName", "--source-instance-name", auto.of),
        Named("restoreDate", "--restore-date", auto.when),
    ]


def _new_name(disk: str, snapshot: str) -> str:
    """A name for what is made."""
    if snapshot == NOW:
        return f"{disk}-fork"
    auto = read_auto_name(snapshot) if "@" in snapshot else None
    end = snapshot if auto is None else auto.when.partition(".")[0].replace(":", "-")
    return f"{disk}-{end.rpartition('/')[2]}"


async def _free_name(visit: Visit, name: str) -> str:
    """That name, or with a number if there is a disk that has it."""
    found = name
    for number in range(2, MOST_NUMBERED):
        if not await visit.has_disk(found):
            break
        found = f"{name}-{number}"
    return found


def _new_instance_name(part: str) -> str:
    """The same for an instance with all its disks."""
    auto = read_auto_name(_whole(part))
    return f"{_whole(part)}-again" if auto is None else _new_name(auto.of, _whole(part))


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidInputException(
            f"The size must be a number of GB, not {text[:20]!r}."
        ) from None


def _seconds(found: Mapping[str, Any] | None) -> float | None:
    """How long copying it takes, at the pace at which it was stored; None if that is not known."""
    if found is None or not found.get("changedBytes") or not found.get("completedAt"):
        return None
    took = found["completedAt"] - found["createdAt"]
    return float(took) if took > 0 else None
