"""What lies beside a disk says all of it again, or is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mooring.model.automatic.rules import AddOn
from mooring.model.errors import DescriptionError
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.disk_description import Description, decode, encode
from mooring.model.resources.instance import Instance, InstanceState

INSTANCE = Instance(
    id="i",
    region="us-east-2",
    zone="us-east-2a",
    name="web",
    created_ms=1,
    support_code="c/i-1",
    blueprint_id="external",
    bundle_id="external",
    state=InstanceState.RUNNING,
    metadata_options={"httpTokens": "required"},
    tags={"a": "b", "alone": None},
)
DISK = Disk(
    id="d",
    region="us-east-2",
    zone="us-east-2a",
    name="däta",
    created_ms=2,
    support_code="c/vol-1",
    size_gb=8,
    state=DiskState.IN_USE,
    attachment=Attachment.ATTACHED,
    instance_id="i",
    instance_name="web",
    path="/dev/xvdf",
    origin_id="s",
    ancestors=("e", "f"),
    auto_mounting=True,
    is_system=True,
    add_on=AddOn("06:00", 0),
    tags={"k": None},
)


def test_it_says_all_again() -> None:
    assert decode(encode(DISK, INSTANCE)) == Description(DISK, INSTANCE)
    disabled = replace(DISK, add_on=AddOn("06:00", 0, enabled=False))
    assert decode(encode(disabled, INSTANCE)) == Description(disabled, INSTANCE)
    # A program that knows no disabled ones takes it for one that has none.
    assert json.loads(encode(disabled, None))["disk"]["addOnTime"] is None


def test_a_disk_on_its_way_is_described_as_it_stands() -> None:
    free = replace(
        DISK,
        state=DiskState.AVAILABLE,
        attachment=Attachment.DETACHED,
        instance_id=None,
        instance_name=None,
        path=None,
        is_system=False,
    )
    assert decode(encode(replace(DISK, attachment=Attachment.ATTACHING), INSTANCE)).disk == free
    leaving = decode(encode(replace(DISK, attachment=Attachment.DETACHING), INSTANCE))
    assert leaving.disk == DISK


ENDLESS = encode(DISK, INSTANCE).replace(str(DISK.created_ms).encode(), b"1e999")


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"\xff", b'{"version": 1, "disk": 3}', b"[" * 100_000, ENDLESS],
    ids=lambda text: repr(text)[:40],
)
def test_what_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(DescriptionError, match="cannot be read"):
        decode(text)


def test_a_later_version_is_refused() -> None:
    told = json.loads(encode(DISK, INSTANCE)) | {"version": 2}
    with pytest.raises(DescriptionError, match="version 2, this program knows only 1"):
        decode(json.dumps(told).encode())
