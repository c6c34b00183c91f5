"""Disks made from snapshots: usable at once, filled in the background, right in the end."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import SHARED, ZONE, Deployment
from tests.e2e.moments import ARMED
from tests.e2e.processes import naming, until
from tests.e2e.restoring_server import JOB_MOMENTS, VICTIMS

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

MIB = 1024 * 1024
PIECES = {place * MIB: 4 * MIB for place in (0, 7, 300, 2048, 5000, 8188)}
"""What the disks hold: position to length."""


def noise(position: int, length: int, round_: int = 0) -> bytes:
    return random.Random(position * 31 + round_).randbytes(length)


def serve(deployment: Deployment, fill_mib: int = 0, **options: str) -> None:
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    deployment.start(
        sys.executable, "-m", "tests.e2e.restoring_server", "--fill-mib", str(fill_mib), *words
    )


def snapshot(deployment: Deployment) -> None:
    """A disk with content, detached, and the snapshot `saved` of it."""
    uri = deployment.used_disk()
    with BlockingNbdClient(uri) as client:
        for position, length in PIECES.items():
            client.write(position, noise(position, length))
        client.flush()
    deployment.snapshot("saved")
    assert deployment.ended("saved") == ["completed"]
    deployment.detach("data")


def restore(deployment: Deployment, name: str = "restored", size: int = 8) -> float:
    """Make a disk from `saved`; returns the seconds until it can be attached."""
    began = time.monotonic()
    deployment.call(
        "CreateDiskFromSnapshot",
        diskName=name,
        diskSnapshotName="saved",
        availabilityZone=ZONE,
        sizeInGb=size,
        tags=SHARED,
    )
    deployment.until_disk(name, "state", "available")
    return time.monotonic() - began


def check(client: BlockingNbdClient, written: dict[int, bytes] | None = None) -> None:
    """Compare the disk, where data are and around them."""
    for position, length in PIECES.items():
        assert client.read(position, length) == noise(position, length), position
    for position, data in (written or {}).items():
        assert client.read(position, len(data)) == data, position
    for gap in (5, 200, 400, 4000, 6000):
        assert client.read(gap * MIB, MIB) == bytes(MIB)


def check_whole(uri: str) -> None:
    """Where there are no data but those expected, there are zeros."""
    with BlockingNbdClient(uri) as client:
        check(client)
        for offset, extent in client.map():
            if not extent.flags & 2:
                for start in range(offset, offset + extent.length, MIB):
                    data = client.read(start, min(MIB, offset + extent.length - start))
                    inside = any(p <= start < p + length for p, length in PIECES.items())
                    assert inside or data == bytes(len(data)), start


def filled(deployment: Deployment, name: str = "restored") -> bool:
    return bool(deployment.server.ask("disk", diskName=name)["filled"])


def snapshot_server(deployment: Deployment) -> int | None:
    found = [pid for pid, text in naming(deployment.data).items() if "serve-snapshots" in text]
    return found[0] if found else None


def test_restored_disk_is_usable_at_once(deployment: Deployment) -> None:
    serve(deployment, fill_mib=2)
    snapshot(deployment)
    restore(deployment, "first")

    seconds = restore(deployment)

    assert seconds < 1.0
    uri = deployment.attach("restored", "host")
    assert not filled(deployment)
    told = deployment.server.ask("disk", diskName="restored")
    assert told["originName"] == "saved"
    assert 0 <= told["filledBytes"] < told["bytesToFill"] == 8 * 1024 * MIB
    check_whole(uri)
    assert not filled(deployment)


def test_sealed_vault(deployment: Deployment) -> None:
    key = deployment.folder / "key"
    key.touch(mode=0o600)
    key.write_text("a passphrase\n")
    serve(deployment, fill_mib=2, **{"key-file": str(key)})
    snapshot(deployment)
    restore(deployment)
    uri = deployment.attach("restored", "host")
    check_whole(uri)
    assert not filled(deployment)
    pid = snapshot_server(deployment)
    assert pid is not None
    assert "passphrase" not in naming(deployment.data)[pid]


def test_larger_disk_has_zeros_behind(deployment: Deployment) -> None:
    serve(deployment, fill_mib=2)
    snapshot(deployment)
    restore(deployment, size=12)
    with BlockingNbdClient(deployment.attach("restored", "host")) as client:
        check(client)
        assert client.info.size == 12 * 1024 * MIB
        assert client.read(8192 * MIB, MIB) == bytes(MIB)
        client.write(9000 * MIB, noise(1, MIB))
        check(client, {9000 * MIB: noise(1, MIB)})


def test_server_killed_while_filling(deployment: Deployment) -> None:
    serve(deployment, fill_mib=2)
    snapshot(deployment)
    restore(deployment)
    uri = deployment.attach("restored", "host")
    with BlockingNbdClient(uri) as client:
        client.write(7 * MIB, noise(7, MIB, 1))
        client.write(100 * MIB, noise(8, MIB, 1))

        deployment.server.kill()
        assert client.read(7 * MIB, MIB) == noise(7, MIB, 1)
        assert client.read(8 * MIB, 3 * MIB) == noise(7 * MIB, 4 * MIB)[MIB:]
        assert client.read(8188 * MIB, 4 * MIB) == noise(8188 * MIB, 4 * MIB)
        serve(deployment)
        until(lambda: filled(deployment), "the disk to be filled")
        pid = snapshot_server(deployment)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        assert client.read(7 * MIB, MIB) == noise(7, MIB, 1)
        assert client.read(100 * MIB, MIB) == noise(8, MIB, 1)
        assert client.read(300 * MIB, 4 * MIB) == noise(300 * MIB, 4 * MIB)
        assert client.read(8188 * MIB, 4 * MIB) == noise(8188 * MIB, 4 * MIB)


def test_reads_wait_for_the_server_of_snapshots(deployment: Deployment) -> None:
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    restore(deployment)
    with BlockingNbdClient(deployment.attach("restored", "host")) as client:
        assert client.read(0, MIB) == noise(0, 4 * MIB)[:MIB]
        pid = snapshot_server(deployment)
        assert pid is not None

        os.kill(pid, signal.SIGKILL)

        check(client)
        assert snapshot_server(deployment) not in (None, pid)


def test_a_server_of_snapshots_that_stands_still_is_replaced(deployment: Deployment) -> None:
    """One read waits for it; the instance's other disks, and their snapshots, go on."""
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    restore(deployment)
    other = deployment.attach("data", "host")
    uri = deployment.attach("restored", "host")
    with BlockingNbdClient(uri) as client, BlockingNbdClient(other) as neighbour:
        pid = snapshot_server(deployment)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.read, 8188 * MIB, MIB)
            deployment.snapshot("neighbour")
            neighbour.write(0, noise(0, MIB, 1))
            assert waiting.result() == noise(8188 * MIB, 4 * MIB)[:MIB]
        check(client)
        assert deployment.ended("neighbour") == ["completed"]
        assert snapshot_server(deployment) not in (None, pid)


def test_storage_daemon_killed_while_filling(deployment: Deployment) -> None:
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    restore(deployment)
    uri = deployment.attach("restored", "host")
    with BlockingNbdClient(uri) as client:
        client.write(100 * MIB, noise(8, MIB, 1))
        client.flush()
    os.kill(deployment.daemons()[instance_of(deployment)], signal.SIGKILL)

    with reconnected(uri) as client:
        check_after = {0: noise(0, 4 * MIB), 100 * MIB: noise(8, MIB, 1)}
        for position, data in check_after.items():
            assert client.read(position, len(data)) == data


def test_snapshot_deleted_while_filling(deployment: Deployment) -> None:
    serve(deployment, fill_mib=6)
    snapshot(deployment)
    restore(deployment)
    uri = deployment.attach("restored", "host")

    deployment.call("DeleteDiskSnapshot", diskSnapshotName="saved")
    with BlockingNbdClient(uri) as client:
        check(client)
        assert not filled(deployment)
        until(lambda: filled(deployment), "the disk to be filled")
        roots = deployment.data / "vaults" / "us-east-2" / "roots"
        until(lambda: not list(roots.iterdir()), "the snapshot to go")
        check(client)
    check_whole(uri)


def test_own_snapshot_of_a_disk_being_filled(deployment: Deployment) -> None:
    serve(deployment, fill_mib=2)
    snapshot(deployment)
    restore(deployment)
    with BlockingNbdClient(deployment.attach("restored", "host")) as client:
        client.write(20 * MIB, noise(20, MIB))
        client.write_zeroes(301 * MIB, MIB)
        client.flush()
    deployment.snapshot("own", "restored")
    assert deployment.ended("own") == ["completed"]
    assert not filled(deployment)

    told = deployment.server.ask("snapshot", diskSnapshotName="own")
    assert told["parentName"] == "saved"
    assert told["changedBytes"] == 2 * MIB
    with deployment.restored("own") as uris, BlockingNbdClient(uris[0]) as client:
        assert client.read(20 * MIB, MIB) == noise(20, MIB)
        kept = noise(300 * MIB, 4 * MIB)
        assert client.read(300 * MIB, 4 * MIB) == kept[:MIB] + bytes(MIB) + kept[2 * MIB :]


@pytest.mark.requires("nbdsh")
def test_vault_away_while_filling(deployment: Deployment) -> None:
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    restore(deployment)
    vault = deployment.data / "vaults" / "us-east-2"
    away = vault.with_name("away")
    uri = deployment.attach("restored", "host")
    with BlockingNbdClient(uri) as client:
        assert client.read(0, MIB) == noise(0, 4 * MIB)[:MIB]
        client.write(100 * MIB, noise(8, MIB))
        pid = snapshot_server(deployment)
        assert pid is not None
        # So that nothing of it is in memory any more.
        os.kill(pid, signal.SIGKILL)
        until(lambda: snapshot_server(deployment) not in (None, pid), "a new server")
        assert client.read(0, MIB) == noise(0, 4 * MIB)[:MIB]

        vault.rename(away)
        began = time.monotonic()
        assert read_errno(uri, 8188 * MIB) == errno.EIO
        assert 1 < time.monotonic() - began < 25
        assert client.read(100 * MIB, MIB) == noise(8, MIB)
        client.write(101 * MIB, noise(9, MIB))

        away.rename(vault)
        check(client)
        assert client.read(100 * MIB, 2 * MIB) == noise(8, MIB) + noise(9, MIB)


@pytest.mark.requires("nbdsh")
def test_damage_fails_only_the_blocks_concerned(deployment: Deployment) -> None:
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    deployment.server.stop()
    segments = sorted((deployment.data / "vaults" / "us-east-2" / "segments").rglob("*"))
    segment = next(path for path in segments if path.is_file())
    original = segment.read_bytes()
    segment.chmod(0o600)
    damaged = bytearray(original)
    # Frames lie in the order of the disk, so this is early in the first piece.
    damaged[100_000] ^= 0xFF
    segment.write_bytes(damaged)
    serve(deployment)
    restore(deployment)
    uri = deployment.attach("restored", "host")
    assert read_errno(uri, 0) == errno.EIO
    assert read_errno(uri, 2 * MIB) == 0
    with BlockingNbdClient(uri) as client:
        for position in list(PIECES)[1:]:
            assert client.read(position, MIB) == noise(position, PIECES[position])[:MIB]
        until(lambda: deployment.server.ask("disk", diskName="restored")["problem"], "the reason")
        problem = deployment.server.ask("disk", diskName="restored")["problem"]
        assert "is damaged in bytes 0 to" in problem
        assert not filled(deployment)

        segment.write_bytes(original)

        until(lambda: filled(deployment), "the filling to go on")
        check(client)


def test_disk_deleted_while_filling(deployment: Deployment) -> None:
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    restore(deployment)

    deployment.call("DeleteDisk", diskName="restored")
    deployment.call("DeleteDiskSnapshot", diskSnapshotName="saved")

    disks = deployment.data / "zones" / ZONE / "disks"
    until(lambda: len(list(disks.iterdir())) == 1, "the disk's files to go")
    roots = deployment.data / "vaults" / "us-east-2" / "roots"
    until(lambda: not list(roots.iterdir()), "the snapshot to go")


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("moment", JOB_MOMENTS)
def test_killed_at_every_step(deployment: Deployment, moment: str, victim: str) -> None:
    # Slow enough that the disk is attached by the time that the moment comes.
    serve(deployment, fill_mib=12, moment=moment, victim=victim)
    snapshot(deployment)
    (deployment.data / ARMED).touch()
    late = moment.startswith("fill") and moment != "fill:begin"
    if late:
        restore(deployment)
        uri = deployment.attach("restored", "host")
        with BlockingNbdClient(uri) as client:
            client.write(100 * MIB, noise(8, MIB))
            client.flush()
    else:
        with contextlib.suppress(OSError, ConnectionError):
            restore(deployment)
    until(lambda: not (deployment.data / ARMED).exists(), "the kill")
    deployment.server.wait(30)

    serve(deployment)
    deployment.until_disk("restored", "state", "in-use" if late else "available")
    uri = uri if late else deployment.attach("restored", "host")
    with reconnected(uri) as client:
        check(client, {100 * MIB: noise(8, MIB)} if late else None)
    until(lambda: filled(deployment), "the disk to be filled")
    deployment.call("DeleteDiskSnapshot", diskSnapshotName="saved")
    roots = deployment.data / "vaults" / "us-east-2" / "roots"
    until(lambda: not list(roots.iterdir()), "the snapshot to go")
    with reconnected(uri) as client:
        check(client, {100 * MIB: noise(8, MIB)} if late else None)
    assert deployment.statuses("restored")[-1] == "Succeeded"
    folders = list((deployment.data / "zones" / ZONE / "disks").iterdir())
    assert not [name for folder in folders for name in folder.glob("base.*[!w]")]


def read_errno(uri: str, offset: int) -> int:
    """The error with which a block is read, 0 for none, twice on one connection."""
    script = f"""
h.connect_uri({uri!r})
assert h.get_structured_replies_negotiated()
found = []
for _ in range(2):
    try:
        h.pread(4096, {offset})
        found.append(0)
    except nbd.Error as error:
        found.append(error.errnum)
assert h.aio_is_ready()
print(*found)
"""
    done = subprocess.run(
        ["nbdsh", "-c", script],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = done.stdout.split()
    assert first == second
    return int(first)


def instance_of(deployment: Deployment) -> str:
    return next(name for name in deployment.daemons() if not name.startswith("merge-"))


@contextlib.contextmanager
def reconnected(uri: str) -> Iterator[BlockingNbdClient]:
    """A client, as soon as the disk is served again."""
    found: list[BlockingNbdClient] = []

    def connect() -> bool:
        with contextlib.suppress(NbdError, FileNotFoundError):
            found.append(BlockingNbdClient(uri))
        return bool(found)

    until(connect, "the disk to be served")
    with found[0] as client:
        yield client


def test_nothing_is_readable_for_others(deployment: Deployment) -> None:
    serve(deployment, fill_mib=1)
    snapshot(deployment)
    restore(deployment)
    folder = deployment.data / "run" / "snapshots-us-east-2"
    files: list[Path] = [folder, *folder.iterdir()]
    assert {path.name for path in files} >= {"nbd.sock", "lock"}
    assert not [path for path in files if path.stat().st_mode & 0o077]
