"""mooring wait, --wait, mooring uri, and the progress bar."""

from __future__ import annotations

import io
import json

import pytest

from mooring.cli import progress, waiting
from mooring.cli.connection.client import Unreachable
from mooring.model.clock import ManualClock
from mooring.model.errors import CommandError
from tests.cli.conftest import Run, scripted
from tests.cli.recording_server import RecordingServer, Scripted
from tests.conftest import CHECKOUT

GONE = Scripted(400, b'{"__type": "NotFoundException", "message": "There is no such thing"}')


def snapshot(state: str, done: str) -> dict[str, object]:
    return {"diskSnapshot": {"name": "S", "state": state, "progress": done}}


def operation(status: str, **more: object) -> dict[str, object]:
    known = {"id": "o1", "resourceName": "D", "operationType": "CreateDisk", "status": status}
    return {"operation": {**known, **more}}


def test_wait_disk_snapshot_completed(mooring: Run, server: RecordingServer) -> None:
    scripted(
        server,
        snapshot("pending", "10%"),
        {"changedBytes": 5},
        snapshot("pending", "60%"),
        {"changedBytes": 5},
        snapshot("completed", "100%"),
    )
    result = mooring("wait", "disk-snapshot-completed", "--disk-snapshot-name", "S")

    assert result == (0, "", "")
    assert len(server.requests) == 5


def test_wait_for_an_automatic_snapshot(mooring: Run, server: RecordingServer) -> None:
    scripted(
        server,
        {"state": "pending", "progress": 10},
        {"changedBytes": 5},
        {"state": "completed", "progress": 100},
    )
    result = mooring("wait", "disk-snapshot-completed", "--disk-snapshot-name", "D@latest")

    assert result == (0, "", "")
    assert server.requests[0].path == "/mooring/snapshot?diskSnapshotName=D%40latest"


def test_an_export_is_waited_for(mooring: Run, server: RecordingServer) -> None:
    record = {"id": "o1", "resourceName": "E", "resourceType": "ExportSnapshotRecord"}
    started = {"operations": [{**record, "status": "Started"}]}
    scripted(
        server,
        started,
        operation("Started"),
        {"progress": 40},
        operation("Succeeded"),
    )
    result = mooring("export-snapshot", "--source-snapshot-name", "S", "--wait")

    assert result.status == 0
    assert json.loads(result.stdout)["operations"][0]["status"] == "Succeeded"
    assert len(server.requests) == 4


def test_wait_instance_snapshot_available(mooring: Run, server: RecordingServer) -> None:
    scripted(
        server,
        {"instanceSnapshot": {"name": "S", "state": "pending", "progress": "10%"}},
        {"changedBytes": 5},
        {"instanceSnapshot": {"name": "S", "state": "available"}},
    )
    result = mooring("wait", "instance-snapshot-available", "--instance-snapshot-name", "S")

    assert result == (0, "", "")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("waiter", "last"), [("disk-available", "available"), ("disk-in-use", "in-use")]
)
def test_wait_for_a_disk(waiter: str, last: str, mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disk": {"state": "pending"}}, {"disk": {"state": last}})

    assert mooring("wait", waiter, "--disk-name", "D") == (0, "", "")
    assert len(server.requests) == 2


def test_wait_operation_succeeded(mooring: Run, server: RecordingServer) -> None:
    scripted(server, operation("Started"), operation("Succeeded"))

    assert mooring("wait", "operation-succeeded", "--operation-id", "o1").status == 0


def test_wait_ends_with_what_failed(mooring: Run, server: RecordingServer) -> None:
    scripted(server, operation("Failed", errorCode="DiskFull", errorDetails="no room left"))
    result = mooring("wait", "operation-succeeded", "--operation-id", "o1")

    assert result.status == 255
    assert result.stderr == "\nThe operation CreateDisk of D failed (DiskFull): no room left\n"


@pytest.mark.parametrize("seconds", ["nan", "inf", "-5", "1e99"])
def test_a_time_limit_that_is_none_is_refused(seconds: str, mooring: Run) -> None:
    result = mooring("wait", "disk-available", "--disk-name", "D", f"--timeout={seconds}")

    assert "--timeout must be 0 to 31622400 seconds" in result.stderr
    assert result.status == 255


def test_a_failure_after_the_first_answer_ends_the_wait_at_once() -> None:
    clock = ManualClock()
    heard = iter([waiting.State(False, "pending")])

    def ask() -> waiting.State:
        for state in heard:
            return state
        raise CommandError("The snapshot S failed.")

    with pytest.raises(CommandError, match="The snapshot S failed"):
        waiting.wait("S", ask, clock, None)
    assert clock.monotonic() < 1


def test_wait_for_what_is_not_there_ends_at_once(mooring: Run, server: RecordingServer) -> None:
    scripted(server, GONE)
    result = mooring("wait", "disk-available", "--disk-name", "D")

    assert result.status == 255
    assert "There is no such thing" in result.stderr


def test_wait_gives_up_in_time(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"disk": {"state": "pending"}})
    result = mooring("wait", "disk-available", "--disk-name", "D", "--timeout", "0.3")

    assert result.status == 255
    assert "Waited 0.3 seconds, but D is pending." in result.stderr


def test_a_server_may_be_away_for_a_moment() -> None:
    clock = ManualClock()
    states = iter([waiting.State(False, "pending"), None, None, waiting.State(True, "completed")])

    def ask() -> waiting.State:
        state = next(states)
        if state is None:
            raise Unreachable("Could not connect")
        return state

    waiting.wait("S", ask, clock, None)

    assert next(states, "all asked") == "all asked"


def test_a_server_that_stays_away_is_reported() -> None:
    clock = ManualClock()
    heard = iter([waiting.State(False, "pending")])

    def ask() -> waiting.State:
        for state in heard:
            return state
        raise Unreachable("Could not connect")

    with pytest.raises(CommandError, match="Could not connect"):
        waiting.wait("S", ask, clock, None)
    assert 100 < clock.monotonic() < 140


def test_the_option_wait_shows_the_last_state(mooring: Run, server: RecordingServer) -> None:
    started = operation("Started")["operation"]
    scripted(server, {"operations": [started]}, operation("Started"), operation("Succeeded"))
    result = mooring("delete-disk", "--disk-name", "D", "--wait")

    assert result.status == 0
    assert json.loads(result.stdout)["operations"][0]["status"] == "Succeeded"


def test_the_option_wait_is_only_where_something_starts(mooring: Run) -> None:
    assert "Unknown options: --wait" in mooring("get-disks", "--wait").stderr


def test_uri(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"diskName": "a b", "uri": "nbd+unix:///a%20b?socket=/run/s"})
    result = mooring("uri", "--disk-name", "a b/é")

    assert result == (0, "nbd+unix:///a%20b?socket=/run/s\n", "")
    request = server.requests[-1]
    assert (request.method, request.path) == ("GET", "/mooring/uri?diskName=a%20b%2F%C3%A9")
    assert request.scope == "AKIAEXAMPLEEXAMPLE00/us-west-2/lightsail/aws4_request"


def test_what_is_on_another_host_is_told(mooring: Run, server: RecordingServer) -> None:
    there = "nbd+unix:///data?socket=/run/no%20such/s"
    scripted(server, {"diskName": "data", "uri": there, "hostName": "beta"})
    told = (0, f"{there}\n", "That is on the host beta.\n")
    assert mooring("uri", "--disk-name", "data") == told

    here = f"nbd+unix:///data?socket={CHECKOUT}"
    scripted(server, {"diskName": "data", "uri": here, "hostName": "beta"})
    assert mooring("uri", "--disk-name", "data") == (0, f"{here}\n", "")


def test_an_export_on_another_host_is_told(mooring: Run, server: RecordingServer) -> None:
    there = "nbd+unix:///x?socket=/run/no%20such/s"
    scripted(server, {"diskSnapshotName": "S", "uri": there, "hostName": "beta"})
    told = (0, f"{there}\n", "That is on the host beta.\n")
    assert mooring("export", "--disk-snapshot-name", "S") == told
    result = mooring("ls", "S:/")
    assert result.status not in (0, 2)
    assert "can be read on the host beta only" in result.stderr


def test_device(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"diskName": "D", "device": "/dev/loop0", "usedBy": None})

    assert mooring("device", "--disk-name", "D") == (0, "/dev/loop0\n", "")
    request = server.requests[-1]
    assert (request.method, request.path) == ("POST", "/mooring/device")
    assert json.loads(request.body) == {"diskName": "D"}
    assert "/dev/loop" not in mooring("device", "help").stderr


def test_uri_of_what_is_not_there(mooring: Run, server: RecordingServer) -> None:
    scripted(server, GONE)
    result = mooring("uri", "--disk-name", "D")

    assert result.status == 255
    assert result.stderr == (
        "\nAn error occurred (NotFoundException) when asking for the URI: There is no such thing\n"
    )


def test_export(mooring: Run, server: RecordingServer) -> None:
    scripted(server, {"diskSnapshotName": "S", "uri": "nbd+unix:///0?socket=/run/s"})
    result = mooring("export", "--disk-snapshot-name", "S", "--seconds", "60")

    assert result == (0, "nbd+unix:///0?socket=/run/s\n", "")
    request = server.requests[-1]
    assert (request.method, request.path) == ("POST", "/mooring/grant")
    assert request.content_type == "application/json"
    assert json.loads(request.body) == {"diskSnapshotName": "S", "seconds": 60}


def test_diff_follows_the_pages(mooring: Run, server: RecordingServer) -> None:
    one, two = ({"offset": at, "length": 4096, "zero": False} for at in (0, 8192))
    head = {"from": "A", "to": "B", "sizeInBytes": 1 << 33}
    scripted(
        server,
        {**head, "extents": [one], "nextOffset": 8192},
        {**head, "extents": [two], "nextOffset": None},
    )
    result = mooring("diff", "--from", "A", "--to", "B")

    assert result.status == 0
    assert json.loads(result.stdout) == {**head, "extents": [one, two], "changedBytes": 8192}
    path = "/mooring/diff?diskSnapshotName=B&fromDiskSnapshotName=A"
    assert [one.path for one in server.requests[-2:]] == [path, f"{path}&startOffset=8192"]


def test_diff_of_what_did_not_change(mooring: Run, server: RecordingServer) -> None:
    told: dict[str, object] = {"from": None, "to": "B", "sizeInBytes": 1 << 33, "extents": []}
    scripted(server, {**told, "nextOffset": None})
    assert json.loads(mooring("diff", "--to", "B").stdout) == {**told, "changedBytes": 0}
    scripted(server, GONE)
    assert "(NotFoundException) when asking for the changes" in mooring("diff", "--to", "B").stderr


def test_usage(mooring: Run, server: RecordingServer) -> None:
    row = {"diskSnapshotName": "monday", "diskName": "db", "createdAt": 1.5, "sizeInBytes": 1 << 33}
    told = {"snapshots": [{**row, "aloneBytes": 5 << 20, "sharedBytes": 0, "fullCopyBytes": 1536}]}
    scripted(server, told, told)
    result = mooring("usage")
    assert result.stdout.splitlines() == [
        "SNAPSHOT  DISK     SIZE    ALONE   SHARED  FULL COPY",
        "monday    db    8.0 GiB  5.0 MiB  0 bytes    1.5 KiB",
    ]
    assert json.loads(mooring("usage", "--json").stdout) == told


def test_export_of_what_is_not_there(mooring: Run, server: RecordingServer) -> None:
    scripted(server, GONE)
    result = mooring("export", "--disk-snapshot-name", "S")

    assert result.status == 255
    assert "(NotFoundException) when asking for the export: There is" in result.stderr


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"state": "available", "filled": True, "filledBytes": None, "bytesToFill": None}, 0),
        ({"state": "error", "filled": False, "filledBytes": None, "bytesToFill": None}, 255),
        ({"odd": 1}, 255),
    ],
)
def test_wait_disk_filled(
    told: dict[str, object], status: int, mooring: Run, server: RecordingServer
) -> None:
    filling = {"state": "in-use", "filled": False, "filledBytes": 1, "bytesToFill": 4}
    scripted(server, filling, told)

    assert mooring("wait", "disk-filled", "--disk-name", "D").status == status
    assert server.requests[-1].path == "/mooring/disk?diskName=D"


def test_uri_of_a_server_that_is_not_mooring(mooring: Run, server: RecordingServer) -> None:
    scripted(server, Scripted(200, b"<html>"))

    assert "does not answer like a Mooring server" in mooring("uri", "--disk-name", "D").stderr


def test_progress_is_silent_but_on_a_terminal() -> None:
    stream = io.StringIO()
    bar = progress.Progress("S", ManualClock(), stream)
    bar.show(0.5, 100)
    bar.clear()

    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("total", [None, 1000, 2_900_000_000, 5 << 40])
@pytest.mark.parametrize("title", ["S", "a-rather-long-name-of-a-snapshot-of-2026-11-23"])
def test_a_progress_line_fits_the_terminal(columns: int, total: int | None, title: str) -> None:
    for step in range(101):
        line = progress.line(title, step / 100, total, step * 70.0, 0.0, columns)
        assert len(line) < columns
        assert f"{step:3d} %" in line


def test_a_progress_line_tells_bytes_rate_and_time_left() -> None:
    assert progress.line("S", 0.25, 400 << 20, 10.0, 0.0, 80) == (
        f"S  {'█' * 6}{'▎'}{'·' * 18}   25 %  100 MiB of 400 MiB  10.0 MiB/s  0:30 left"
    )


def test_the_bar_does_not_change_its_width() -> None:
    lines = [progress.line("S", step / 50, 3 << 30, step, 0.0, 80) for step in range(1, 50)]

    assert len({line.index(" %") for line in lines}) == 1


SNAPSHOT_TOLD = {
    "diskSnapshotName": "monday",
    "id": "x",
    "state": "completed",
    "progress": 100,
    "pauseSeconds": 0.00376,
    "consistency": "crash",
    "quiesceSeconds": None,
    "quiesceProblem": "nobody answers",
    "incremental": True,
    "parentName": "sunday",
    "changedBytes": 53 << 20,
    "storedBytes": 1536,
    "createdAt": 1795475327.163,
    "completedAt": None,
}


def test_stat_of_a_snapshot(mooring: Run, server: RecordingServer) -> None:
    scripted(server, SNAPSHOT_TOLD, SNAPSHOT_TOLD)
    result = mooring("stat", "--disk-snapshot-name", "monday")
    assert result.stdout.splitlines() == [
        "snapshot            monday",
        "state               completed",
        "taken               2026-11-23 23:08:47 UTC",
        "writes held back    3.8 ms",
        "consistency         crash",
        "not better because  nobody answers",
        "changes since       sunday",
        "changed             53.0 MiB",
        "stored              1.5 KiB",
    ]
    assert server.requests[-1].path == "/mooring/snapshot?diskSnapshotName=monday"
    result = mooring("stat", "--disk-snapshot-name", "monday", "--json")
    assert json.loads(result.stdout) == SNAPSHOT_TOLD


def test_stat_of_the_rest(mooring: Run, server: RecordingServer) -> None:
    part = {"diskName": "db", "state": "pending", "changedBytes": 4096, "storedBytes": None}
    whole = {"instanceSnapshotName": "all", "state": "pending", "progress": 7, "parts": [part]}
    scripted(server, {**whole, "pauseSeconds": 0.01, "changedBytes": None})
    assert mooring("stat", "--instance-snapshot-name", "all").stdout.splitlines() == [
        "snapshot          all",
        "state             pending, 7 %",
        "writes held back  10.0 ms",
        "disk db           pending, 4.0 KiB changed",
    ]
    disk = {"diskName": "copy", "state": "available", "originName": "monday", "filled": False}
    scripted(
        server, {**disk, "filledBytes": 1 << 30, "bytesToFill": 4 << 30, "problem": "it rains"}
    )
    assert mooring("stat", "--disk-name", "copy").stdout.splitlines() == [
        "disk             copy",
        "state            available",
        "made from        monday",
        "filled           1.0 GiB of 4.0 GiB, 25 %",
        "not yet because  it rains",
    ]
    scripted(server, {**disk, "filled": True, "problem": "its host is lost"})
    assert "problem    its host is lost" in mooring("stat", "--disk-name", "copy").stdout
    scripted(server, {**disk, "filled": True, "reverted": True})
    assert "reverted to  monday" in mooring("stat", "--disk-name", "copy").stdout
    scripted(server, {"odd": 1})
    assert "does not answer like a Mooring" in mooring("stat", "--disk-name", "copy").stderr
    scripted(server, GONE)
    gone = mooring("stat", "--disk-name", "copy")
    assert "(NotFoundException) when asking for the facts" in gone.stderr


def test_stat_wants_one_name(mooring: Run) -> None:
    for words in ((), ("--disk-name", "a", "--disk-snapshot-name", "b")):
        result = mooring("stat", *words)
        assert result.status == 255
        assert "Name one of --disk-snapshot-name" in result.stderr


def test_fork_wants_a_disk_or_an_instance(mooring: Run) -> None:
    disk, instance = ("--disk-name", "a"), ("--instance-name", "web")
    made, twin = ("--new-disk-name", "b"), ("--new-instance-name", "twin")
    for words in (
        (),
        disk,
        (*disk, *twin),
        (*disk, *made, *instance),
        (*instance, *twin, "--size-in-gb", "16"),
    ):
        result = mooring("fork", *words)
        assert result.status == 255
        assert "Give --disk-name and --new-disk-name, or --instance-name" in result.stderr
