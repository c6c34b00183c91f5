"""Descriptions beside disks that no server has written: they are not believed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.recovery.disks import enter_disks, read_descriptions
from mooring.model.automatic.rules import AutoSource
from mooring.model.resources.disk_description import encode
from tests.admin.servers import REGION, ZONE, Server, running, settings_at
from tests.model.test_disk_description import DISK, INSTANCE

CLIMBING = "../../../../tmp/pwned"
ESCAPES = "esc\x1b]0;owned\x07\nline2"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(settings_at(tmp_path / "data", tmp_path / "vault")) as server:
        yield server


def described(server: Server, **told: dict[str, Any]) -> str:
    """Have a disk with a description like DISK's, but for what is `told`; returns its id."""
    text = json.loads(encode(DISK, INSTANCE))
    text["disk"]["name"] = "data"
    for what, members in told.items():
        text[what] = text[what] | members
    engine = server.mooring.backend.engines[ZONE]
    engine.create(DISK.id, 8 << 30)
    engine.describe(DISK.id, json.dumps(text).encode())
    return DISK.id


def test_a_good_one_is_entered(server: Server) -> None:
    described(server, instance={"ports": '[[22, 22, "tcp", ["0.0.0.0/0"], [], []]]'})
    backend = server.mooring.backend
    found, refused = read_descriptions(backend, [REGION])
    assert refused == {}
    with backend.catalog.write() as transaction:
        assert enter_disks(transaction, backend, found).disks == ["data"]
    assert [one["name"] for one in server.call("GetDisks")["disks"]] == ["data"]


def test_a_disk_that_has_grown_since_the_catalog_was_copied(server: Server) -> None:
    described(server)
    backend = server.mooring.backend
    found, _ = read_descriptions(backend, [REGION])
    with backend.catalog.write() as transaction:
        enter_disks(transaction, backend, found)
    (one,) = found
    for size_gb, told in ((16, 16), (12, 16)):
        later = replace(one, disk=replace(one.disk, size_gb=size_gb))
        with backend.catalog.write() as transaction:
            entered = enter_disks(transaction, backend, [later])
            known = transaction.disks.by_id(DISK.id)
        assert known is not None
        assert known.size_gb == told
        assert entered.grown == (["data"] if size_gb == told else [])
        assert entered.changed == []


def test_rhythms_go_on_as_the_tag_says_also_none(server: Server) -> None:
    described(
        server,
        disk={"tags": {"mooring:snapshots": "none"}},
        instance={"tags": {"mooring:snapshots": "Daily keep 1 week"}},
    )
    backend = server.mooring.backend
    found, refused = read_descriptions(backend, [REGION])
    assert refused == {}
    with backend.catalog.write() as transaction:
        assert enter_disks(transaction, backend, found).disks == ["data"]
        assert [one.source for one in transaction.auto_runs.of(DISK.id)] == [AutoSource.ADD_ON]
        (run,) = transaction.auto_runs.of(INSTANCE.id)
    assert (run.source, run.policy) == (AutoSource.TAG, "daily keep 1 week")


@pytest.mark.parametrize(
    "told",
    [
        {"name": CLIMBING},
        {"name": ESCAPES},
        {"name": "x" * 400},
        {"region": "elsewhere"},
        {"sizeGb": 0},
        {"sizeGb": 1 << 40},
        {"createdMs": -1},
        {"createdMs": 1 << 60},
        {"supportCode": "a\nb"},
        {"path": "/dev/../x"},
        {"path": None},
        {"path": 7},
        {"originId": "../x"},
        {"originId": {}},
        {"ancestors": ["../x"]},
        {"ancestors": [f"{number:08}-0000-4000-8000-000000000000" for number in range(101)]},
        {"ancestors": 7},
        {"addOnTime": "soon"},
        {"addOnTime": None, "disabledAddOnTime": "\x1b"},
        {"tags": {"aws:x": ""}},
        {"tags": {"mooring:snapshots": "sometimes"}},
        {"tags": {"a\x1b[31m": ""}},
        {"tags": {str(number): "" for number in range(51)}},
        {"tags": []},
    ],
    ids=lambda told: repr(told)[:40],
)
def test_what_cannot_be_of_a_disk_is_refused(server: Server, told: dict[str, Any]) -> None:
    disk_id = described(server, disk=told)
    found, refused = read_descriptions(server.mooring.backend, [REGION])
    assert found == []
    assert list(refused) == [f"disk {disk_id}"]


@pytest.mark.parametrize(
    "told",
    [
        {"id": "../x"},
        {"name": CLIMBING},
        {"region": "elsewhere"},
        {"zone": "a\x1b"},
        {"createdMs": 1 << 60},
        {"blueprintId": "a b"},
        {"bundleId": "\x07"},
        {"keyPair": CLIMBING},
        {"ipAddressType": "\x1b"},
        {"metadataOptions": {"httpTokens": "\x1b"}},
        {"metadataOptions": {"a": {}}},
        {"metadataOptions": [1]},
        {"ports": '[[22, 22, "tcp", ["\\u001b"], [], []]]'},
        {"ports": '[[22, 99999, "tcp", [], [], []]]'},
        {"ports": '[["22", 22, 7, [], [], []]]'},
        {"addOnTime": "25:00"},
        {"tags": {"\x07": ""}},
    ],
    ids=lambda told: repr(told)[:40],
)
def test_nor_of_an_instance(server: Server, told: dict[str, Any]) -> None:
    disk_id = described(server, instance=told)
    found, refused = read_descriptions(server.mooring.backend, [REGION])
    assert found == []
    assert list(refused) == [f"disk {disk_id}"]
