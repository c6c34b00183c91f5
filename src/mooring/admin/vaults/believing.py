"""What vault roots and disk descriptions say, checked like requests."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from mooring.model.automatic.rhythm import tagged
from mooring.model.automatic.rules import AddOn, time_of_day
from mooring.model.errors import InvalidInputException
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.model.names import check_name
from mooring.model.resources.consistency import without_own
from mooring.model.resources.disk import MAX_ANCESTORS, Disk
from mooring.model.resources.disk_description import Description
from mooring.model.resources.firewall import Ports, opened, read_ports
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import EXTRA, InstanceSnapshot, recall
from mooring.model.resources.own_blueprint import check_blueprint_id
from mooring.model.resources.snapshot_origin import BLUEPRINT, INSTANCE_NAME
from mooring.model.sizes import check_disk_size
from mooring.model.tags import read_tags
from mooring.streams import one_line
from mooring.vault.vault import Root, SnapshotInfo

LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, after which dates have no form."""

IMPOSSIBLE = (InvalidInputException, TypeError, ValueError, AttributeError)
"""What checks raise, of texts that no server has written."""

_MOST_BYTES = 1 << 62
_CODE = re.compile(r"[A-Za-z0-9._/:-]{0,255}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_PATH = re.compile(r"/dev/[a-z][a-z0-9]{1,30}", re.ASCII)


def sort_out(roots: Iterable[Root]) -> tuple[list[Root], dict[str, str]]:
    """The roots that can be believed; for the others, by their ids, what is wrong.

    Whoever can write to a vault that is not sealed can write anything into a root, and the catalog
    holds only what a request could have brought about: names become files, texts are printed.
    """
    believed, refused = [], {}
    for root in roots:
        try:
            check(root)
        except IMPOSSIBLE as error:
            refused[root.id] = one_line(f"its root cannot be true: {error}")
        else:
            believed.append(root)
    return believed, refused


def check(root: Root) -> None:
    """Raise InvalidInputException, TypeError or ValueError unless a server could have told it."""
    info = root.info
    known = recall(info.extra)
    if known is not None:
        _check_whole(known.whole)
        for part_id in known.part_ids:
            _matches(_ID, "the id of a part", part_id)
        if known.disk_path is not None:
            _matches(_PATH, "the disk's path", known.disk_path)
    elif EXTRA in info.extra:
        raise ValueError("what it says about an instance snapshot cannot be understood")
    elif "auto" not in info.extra:
        check_name(_text("the name", info.name))
    if BLUEPRINT in info.extra:
        check_blueprint_id(info.name)
    if info.disk_name or known is not None or "auto" in info.extra:
        check_name(_text("the disk's name", info.disk_name))
    _check_info(info)
    if root.parent is not None:
        _matches(_ID, "the parent's id", root.parent)
    _number("the time of completion", root.completed_ms, LATEST_MS)
    statistics = root.statistics
    _number("the number of changed blocks", statistics.changed_blocks, _MOST_BYTES // BLOCK_SIZE)
    _number("the bytes stored", statistics.stored_bytes, _MOST_BYTES)


def check_description(one: Description, regions: Collection[str]) -> None:
    """The same for what lies beside a disk; `regions` are those that there are.

    Whoever can write there can write to the disk, too, but not by that what others are shown,
    nor to what becomes a file elsewhere.
    """
    _check_live(one.disk, regions)
    check_disk_size(one.disk.size_gb)
    if one.disk.path is not None:
        _matches(_PATH, "the disk's path", one.disk.path)
    if one.disk.origin_id is not None:
        _matches(_ID, "the id of the snapshot that it was made from", one.disk.origin_id)
    _number("the number of its ancestors", len(one.disk.ancestors), MAX_ANCESTORS)
    for ancestor in one.disk.ancestors:
        _matches(_ID, "the id of an ancestor", ancestor)
    if (instance := one.instance) is None:
        if one.disk.path is not None:
            raise InvalidInputException("it has a path without an instance.")
        return
    if one.disk.path is None:
        raise InvalidInputException("it has an instance without a path.")
    _check_live(instance, regions)
    _matches(_CODE, "the blueprint", instance.blueprint_id)
    _matches(_CODE, "the bundle", instance.bundle_id)
    _matches(_CODE, "the type of addresses", instance.ip_address_type)
    if instance.key_pair is not None:
        check_name(_text("the key pair's name", instance.key_pair))
    for key, value in (instance.metadata_options or {}).items():
        _matches(_CODE, "a metadata option", key)
        if type(value) is not int:
            _matches(_CODE, "a metadata option", value)
    opened([], map(read_ports, map(_as_given, instance.ports)))


def _as_given(ports: Ports) -> Mapping[str, object]:
    """The ports as a request names them."""
    return {
        "fromPort": ports.first,
        "toPort": ports.last,
        "protocol": _text("a protocol", ports.protocol),
        "cidrs": ports.cidrs,
        "ipv6Cidrs": ports.ipv6_cidrs,
        "cidrListAliases": ports.aliases,
    }


def _check_live(one: Disk | Instance, regions: Collection[str]) -> None:
    """What a disk and an instance have in common."""
    _matches(_ID, "the id", one.id)
    check_name(_text("the name", one.name))
    _matches(_CODE, "the zone", one.zone)
    _matches(_CODE, "the support code", one.support_code)
    if one.region not in regions:
        raise InvalidInputException(f"its region is {one.region[:40]!r}, which there is not.")
    _number("the time", one.created_ms, LATEST_MS)
    _check_add_on(one.add_on)
    _check_tags(one.tags)
    tagged(one.tags)


def _check_add_on(add_on: AddOn | None) -> None:
    if add_on is not None:
        time_of_day(add_on.time_of_day, "")


def _check_info(info: SnapshotInfo) -> None:
    _matches(_ID, "the id", info.id)
    _matches(_ID, "the disk's id", info.disk_id)
    _matches(_CODE, "the region", info.region)
    _matches(_CODE, "the zone", info.disk_zone)
    _matches(_CODE, "the support code", info.support_code)
    _number("the time", info.created_ms, LATEST_MS)
    if info.size % GIB:
        raise InvalidInputException(f"the size of {info.size} bytes is not in whole GB.")
    check_disk_size(info.size // GIB)
    _check_tags(info.tags)
    for key, value in info.extra.items():
        if key == INSTANCE_NAME:
            check_name(_text("the instance's name", value))
        elif key != EXTRA:
            _matches(_ID, "what is kept besides", value)


def _check_whole(whole: InstanceSnapshot) -> None:
    if whole.auto is None:
        check_name(_text("the instance snapshot's name", whole.name))
    check_name(_text("the instance's name", whole.instance_name))
    for what, text in (
        ("the instance snapshot's id", whole.id),
        ("the instance's id", whole.instance_id),
    ):
        _matches(_ID, what, text)
    for what, text in (
        ("the region", whole.region),
        ("the zone", whole.instance_zone),
        ("the support code", whole.support_code),
        ("the blueprint", whole.blueprint_id),
        ("the bundle", whole.bundle_id),
    ):
        _matches(_CODE, what, text)
    _number("the time", whole.created_ms, LATEST_MS)
    _check_tags(whole.tags)


def _check_tags(tags: Mapping[str, str | None]) -> None:
    """As of a request, which cannot give the one tag that only the server sets."""
    for key, value in tags.items():
        _text("a tag", key)
        if value is not None:
            _text("a tag's value", value)
    # The one that the server sets comes on top of those that there can be.
    read_tags([{"key": key, "value": value} for key, value in without_own(tags).items()])


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputException(f"{what} is not text.")
    return value


def _matches(pattern: re.Pattern[str], what: str, value: object) -> None:
    if not pattern.fullmatch(_text(what, value)):
        raise InvalidInputException(f"{what} is {str(value)[:40]!r}, which is not valid.")


def _number(what: str, value: object, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidInputException(f"{what} is {str(value)[:40]!r}, which is not 0 to {most}.")
