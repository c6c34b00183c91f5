"""A vault that somebody else has written: what its roots tell is not believed."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.recovery.recover import recover
from mooring.admin.vaults.replicate import replicate
from mooring.admin.vaults.usage import usage
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import DamageError
from mooring.model.extents import GIB
from mooring.vault.format.root import SnapshotInfo
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault
from tests.admin.servers import REGION, ZONE, running, settings_at

CLIMBING = "../../../../../../tmp/pwned"
ESCAPES = "esc\x1b]0;owned\x07\nline2"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "fresh", tmp_path / "vault")


def put(place: Path, **told: Any) -> str:
    """Write a snapshot whose root tells this; returns its id."""
    known: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "region": REGION,
        "name": "snap",
        "disk_id": str(uuid.uuid4()),
        "disk_name": "data",
        "size": 8 * GIB,
        "created_ms": 1_795_000_000_000,
        "disk_zone": ZONE,
        "support_code": "000000000000/snap-0123",
    }
    info = SnapshotInfo(**{**known, **told})
    with (
        Vault.create_or_open(DirectoryStore(place), SystemClock()) as vault,
        vault.begin(info) as writer,
    ):
        writer.write(0, b"x" * 4096)
        writer.commit()
    return info.id


def whole(part: str, **told: Any) -> dict[str, str]:
    known = {
        "id": str(uuid.uuid4()),
        "region": REGION,
        "name": "whole",
        "created_ms": 1_795_000_000_000,
        "support_code": "x",
        "instance_id": str(uuid.uuid4()),
        "instance_name": "web",
        "instance_zone": ZONE,
        "blueprint_id": "external",
        "bundle_id": "external",
        "tags": {},
        "disk_path": "/dev/xvdf",
        "parts": [part],
    }
    return {"instance_snapshot": json.dumps({**known, **told})}


@pytest.mark.parametrize(
    "told",
    [
        {"disk_name": CLIMBING},
        {"name": "bad/../../x"},
        {"name": ESCAPES},
        {"disk_name": ESCAPES},
        {"name": "x" * 400},
        {"name": ""},
        {"tags": {"a\x1b[31m": "b"}},
        {"tags": {"aws:x": "b"}},
        {"tags": {str(number): "" for number in range(51)}},
        {"size": 8 * GIB + 4096},
        {"size": 4096},
        {"created_ms": -1},
        {"created_ms": 1 << 60},
        {"disk_id": "../x"},
        {"disk_zone": "a\x1b"},
        {"support_code": "a\nb"},
        {"extra": {"content": "../x"}},
        {"extra": {"instance-id": "i", "instance-name": "../x"}},
        {"extra": {"blueprint": "linux"}, "name": "wordpress"},
        {"extra": {"auto": "add-on"}, "disk_name": CLIMBING},
        {"extra": {"instance_snapshot": "[" * 100_000}, "name": CLIMBING},
        {"extra": {"instance_snapshot": "null"}, "name": ESCAPES},
        {"extra": {"instance_snapshot": "1e999"}, "disk_name": CLIMBING},
    ],
    ids=lambda told: repr(told)[:40],
)
def test_what_cannot_be_is_not_recovered(
    told: dict[str, Any], settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = put(tmp_path / "vault", **told)
    put(tmp_path / "vault", name="good", tags={"k": "v", "mooring:consistency": "crash"})

    assert recover(settings) == 1

    out = capsys.readouterr().out
    assert "1 snapshot recovered" in out
    assert f"NOT recovered: {bad}: " in out
    with running(settings) as server:
        shown = server.call("GetDiskSnapshots")["diskSnapshots"]
        assert [one["name"] for one in shown] == ["good"]


def test_no_name_makes_a_line_of_its_own(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "vault", name=ESCAPES, disk_name=ESCAPES)

    recover(settings)
    usage(settings)
    replicate(settings, to=str(tmp_path / "copy"))

    lines = capsys.readouterr().out.splitlines()
    assert sum("line2" in line for line in lines) == 3
    assert not any(line.startswith("line2") for line in lines)


@pytest.mark.parametrize("moment", [1.5, "now", True, None])
def test_what_is_of_another_type_is_damage(tmp_path: Path, moment: object) -> None:
    """Whatever reads a root refuses it, the writer that looks at what it wrote as well."""
    with pytest.raises(DamageError, match="created_ms is"):
        put(tmp_path / "vault", created_ms=moment)


@pytest.mark.parametrize(
    "told",
    [
        {"name": "a/b"},
        {"instance_name": CLIMBING},
        {"disk_path": "/dev/../x"},
        {"blueprint_id": "a\x1b"},
        {"created_ms": "now"},
        {"tags": {"\x07": ""}},
        {"tags": []},
        {"parts": [1]},
        {"parts": 7},
    ],
    ids=lambda told: repr(told)[:40],
)
def test_nor_of_an_instance(told: dict[str, Any], settings: Settings, tmp_path: Path) -> None:
    part = str(uuid.uuid4())
    put(tmp_path / "vault", id=part, name="whole/data", extra=whole(part, **told))

    assert recover(settings) == 1

    with running(settings) as server:
        assert server.call("GetInstanceSnapshots")["instanceSnapshots"] == []


def test_what_a_catalog_holds_from_before_is_exported_to_no_other_place(
    settings: Settings, tmp_path: Path
) -> None:
    """Names were believed once; the files of an export have names of their own then."""
    part = str(uuid.uuid4())
    put(tmp_path / "vault", id=part, name="whole/data", extra=whole(part))
    put(tmp_path / "vault", name="single")
    assert recover(settings) == 0
    victim = tmp_path / "victim.raw"
    victim.write_bytes(b"precious")
    climbing = os.path.relpath(victim.with_suffix(""), settings.data_directory / "exports/r/f")
    with running(settings) as server:
        with server.mooring.backend.catalog.write() as transaction:
            for one in transaction.snapshots.all():
                transaction.snapshots.change(one.id, disk_name=climbing)
        for name in ("whole", "single"):
            server.call("ExportSnapshot", sourceSnapshotName=name)
        server.settle()
        records = server.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    assert [one["state"] for one in records] == ["Succeeded", "Succeeded"]
    assert victim.read_bytes() == b"precious"
    of_instance, of_disk = (Path(one["destinationInfo"]["id"]) for one in records)
    assert [file.name for file in of_instance.iterdir()] == [f"{part}.raw"]
    assert of_disk.is_file()
