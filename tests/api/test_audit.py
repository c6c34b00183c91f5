"""The audit log: what gets a line, what is in it, and what is not."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.model.access import Access, Role
from mooring.model.errors import AccessDeniedException, NotFoundException
from mooring.observe import metrics
from mooring.observe.audit import AuditLog
from mooring.service.context import Context
from tests.api.door import KEY, SECRET, Door

OLGA = Access("olga", Role.OPERATOR)
DISK = {"diskName": "data", "availabilityZone": "us-east-2a", "sizeInGb": 8}


@pytest.fixture(params=[False, True], ids=["", "sync"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AuditLog]:
    log = AuditLog(tmp_path / "audit.jsonl", sync=request.param)
    yield log
    log.close()


def lines(log: AuditLog) -> list[Any]:
    if not log.path.exists():
        return []
    text = log.path.read_text(encoding="ascii")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_change_gets_a_line_before_its_answer(log: AuditLog) -> None:
    door = Door(audit_log=log, access=OLGA)

    reply = door.call("CreateDisk", {**DISK, "tags": [{"key": "k", "value": "v"}]})

    assert lines(log) == [
        {
            "time": "2026-11-23T09:09:37.000Z",
            "requestId": reply.headers["x-amzn-requestid"],
            "source": "192.0.2.7",
            "user": "olga",
            "keyId": KEY,
            "region": "us-east-2",
            "operation": "CreateDisk",
            "resources": ["data"],
            "result": "Succeeded",
        }
    ]
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_what_only_tells_gets_none(log: AuditLog) -> None:
    door = Door(audit_log=log)
    door.call("GetDisks")
    door.call("GetDisk", {"diskName": "data"})

    assert lines(log) == []


def test_all_names_are_in_the_line(log: AuditLog) -> None:
    door = Door(audit_log=log)
    door.call("AttachDisk", {"diskName": "d1", "instanceName": "w1", "diskPath": "/dev/xvdf"})
    names = {"instanceNames": ["w1", "w2"], "blueprintId": "external", "bundleId": "external"}
    door.call("CreateInstances", {**names, "availabilityZone": "us-east-2a"})
    door.ask("uri", "diskName=d1")

    assert [one["resources"] for one in lines(log)] == [["d1", "w1"], ["w1", "w2"], ["d1"]]


def test_a_fork_is_there_with_the_snapshot_that_is_kept(log: AuditLog) -> None:
    door = Door(audit_log=log)
    door.act("fork", {"diskName": "d1", "newDiskName": "d2", "diskSnapshotName": "s"})
    door.act(
        "fork-instance",
        {"instanceName": "w1", "newInstanceName": "w2", "instanceSnapshotName": "s"},
    )

    assert [one["resources"] for one in lines(log)] == [["d1", "d2", "s"], ["w1", "w2", "s"]]


def test_an_import_is_there_with_its_place(log: AuditLog) -> None:
    """What was read is not in the request: where the server read it from must be in the log."""
    Door(audit_log=log).act("import", {"diskSnapshotName": "moved", "place": "3f", "sizeInGb": 8})

    (line,) = lines(log)
    assert line["resources"] == ["moved", "3f"]


def test_a_change_that_failed_says_why(log: AuditLog) -> None:
    def missing(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NotFoundException("The Disk does not exist: data")

    Door(audit_log=log, DeleteDisk=missing).call("DeleteDisk", {"diskName": "data"})

    (line,) = lines(log)
    assert (line["result"], line["code"]) == ("NotFoundException", "DoesNotExist")


def test_who_was_denied_is_there_with_the_reason(log: AuditLog) -> None:
    def refuse(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        raise AccessDeniedException("User: olga is not authorized")

    Door(audit_log=log, GetDisk=refuse).call("GetDisk", {"diskName": "data"})

    (line,) = lines(log)
    assert line["result"] == "AccessDeniedException"
    assert line["reason"] == "User: olga is not authorized"
    assert line["resources"] == ["data"]


@pytest.mark.parametrize(
    ("signing", "result"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"key": "AKIASTRANGER"}, "UnrecognizedClientException"),
        ({"region": "mars"}, "InvalidSignatureException"),
    ],
)
def test_strangers_are_there_without_what_they_claim(
    log: AuditLog, signing: dict[str, str], result: str
) -> None:
    Door(audit_log=log).call("DeleteDisk", {"diskName": "data"}, signing=signing)

    (line,) = lines(log)
    assert (line["result"], line["user"], line["keyId"]) == (result, None, None)
    assert line["source"] == "192.0.2.7"


def test_no_line_has_a_secret_or_the_rest_of_the_input(log: AuditLog) -> None:
    door = Door(audit_log=log)
    door.call("CreateInstances", {"instanceNames": ["w1"], "userData": "geheim"})
    door.call("CreateDisk", DISK, signing={"secret": "geheim"})

    text = log.path.read_text()
    assert "geheim" not in text
    assert SECRET not in text


def test_a_long_or_strange_name_stays_one_short_line(log: AuditLog) -> None:
    door = Door(audit_log=log)
    door.call("DeleteDisk", {"diskName": "a" * 60_000})
    door.call("DeleteDisk", {"diskName": 'x\n{"user":"root"}\u2028\u00e9'})
    door.call("CreateInstances", {"instanceNames": ["w1"] * 20_000})

    found = lines(log)
    assert len(found) == 3
    assert all(len(json.dumps(line)) < 2000 for line in found)


def test_the_file_can_be_moved_away_and_emptied(log: AuditLog) -> None:
    door = Door(audit_log=log)
    moved = log.path.with_suffix(".1")
    door.call("DeleteDisk", {"diskName": "first"})
    log.path.rename(moved)
    door.call("DeleteDisk", {"diskName": "second"})
    assert [line["resources"] for line in lines(log)] == [["second"]]
    assert "first" in moved.read_text()
    os.truncate(log.path, 0)
    door.call("DeleteDisk", {"diskName": "third"})
    assert [line["resources"] for line in lines(log)] == [["third"]]
    log.path.unlink()
    door.call("DeleteDisk", {"diskName": "fourth"})
    assert [line["resources"] for line in lines(log)] == [["fourth"]]


def test_a_log_that_cannot_be_written_stops_nobody_and_is_counted(log: AuditLog) -> None:
    door = Door(audit_log=log)
    log.path.mkdir()

    assert door.call("DeleteDisk", {"diskName": "data"}).status == 200
    name = b"mooring_audit_failures_total"
    (count,) = [line for line in metrics.text().splitlines() if line.startswith(name)]
    assert float(count.split()[1]) >= 1
    log.path.rmdir()
    door.call("DeleteDisk", {"diskName": "data"})
    assert len(lines(log)) == 1


def test_many_writers_lose_and_mix_nothing(log: AuditLog) -> None:
    def write(number: int) -> None:
        for count in range(100):
            log.write({"writer": number, "count": count, "text": "x" * number * 50})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = lines(log)
    for number in range(8):
        mine = [line["count"] for line in found if line["writer"] == number]
        assert mine == list(range(100))


def test_lines_that_wait_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, go, syncs = AuditLog(tmp_path / "log", sync=True), threading.Event(), []

    def sync(descriptor: int) -> None:
        syncs.append(descriptor)
        go.wait(30)

    monkeypatch.setattr(os, "fsync", sync)
    threads = [threading.Thread(target=log.write, args=({"n": n},)) for n in range(10)]
    for thread in threads:
        thread.start()
    while len(log._waiting) < 9:
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join()
    log.close()

    assert len(syncs) == 2
    assert len(lines(log)) == 10


def test_a_file_that_is_full_makes_way_for_a_new_one(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", sync=False, size=1000, kept=3)
    for number in range(200):
        log.write({"number": number, "filling": "x" * 100})
    log.close()
    files = [log.path, *(Path(f"{log.path}.{number}") for number in (1, 2, 3))]
    numbers = [
        [json.loads(line)["number"] for line in file.read_text().splitlines()] for file in files
    ]

    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size < 1200 for file in files)
    found = [number for part in reversed(numbers) for number in part]
    assert found == list(range(200 - len(found), 200))
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_two_servers_on_one_file_move_it_on_once(tmp_path: Path) -> None:
    logs = [AuditLog(tmp_path / "audit.jsonl", sync=False, size=1000, kept=50) for _ in range(2)]

    def write(log: AuditLog, first: int) -> None:
        for number in range(first, 400, 2):
            log.write({"number": number, "filling": "x" * 40})

    threads = [threading.Thread(target=write, args=(log, one)) for one, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    found = [
        json.loads(line)["number"]
        for file in tmp_path.iterdir()
        for line in file.read_text().splitlines()
    ]
    assert sorted(found) == list(range(400))


def test_who_locks_a_file_that_was_moved_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", sync=False, size=100, kept=5)
    lock = fcntl.flock

    def flock_late(descriptor: int, operation: int) -> None:
        """Before it gets the lock, another server moves the file, and has filled the next."""
        if operation & fcntl.LOCK_EX:
            log.path.replace(f"{log.path}.1")
            log.path.write_bytes(b"y" * 200 + b"\n")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    log.write({"filling": "x" * 100})
    log.close()

    # That server has the lock of the next one, and may be moving all of them.
    assert {one.name for one in tmp_path.iterdir()} == {"audit.jsonl", "audit.jsonl.1"}
    assert log.path.read_bytes().startswith(b"y")
    assert b"x" in Path(f"{log.path}.1").read_bytes()


def test_a_flood_without_keys_writes_little(log: AuditLog) -> None:
    door = Door(audit_log=log)
    flood = {"X-Amz-Target": "Lightsail_20161128.GetDisks"}
    types = [
        door.send("POST", "/", {**flood, "Content-Type": "application/x-amz-json-1.1"}, [b"{}"])
        for _ in range(500)
    ]

    assert len(lines(log)) == 100
    assert [one.status for one in types] == [400] * 500
    assert "ThrottlingException" in types[-1].text
    # Whoever has a key, at the same address, goes on.
    assert door.call("CreateDisk", DISK).status == 200
    assert len(lines(log)) == 101
    door.clock.advance(1)
    door.send("POST", "/", {**flood, "Content-Type": "application/x-amz-json-1.1"}, [b"{}"])
    assert len(lines(log)) == 102
