"""File systems on disks attached to this host, at rest for their snapshots."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mooring.admin.demo.filesystem import run, why_not
from mooring.host.devices.fuse_devices import FuseDevices
from mooring.model.clock import SystemClock
from mooring.nbd.blocking import BlockingNbdClient, exports_at
from tests.e2e import crashing_server, processes
from tests.e2e.client import RefusedError
from tests.e2e.deployment import SHARED, ZONE, Deployment
from tests.e2e.processes import PATIENCE, until

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires("mkfs.ext4", "e2fsck", "dumpe2fs", "losetup"),
]

LAYOUT = ("-q", "-E", "nodiscard")


class Host:
    """A deployment with disks attached to this host."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.mounts: list[Path] = []

    def start(self, *command: str) -> None:
        self.deployment.start(*command)

    def instance(self) -> None:
        self.deployment.call(
            "CreateInstances",
            instanceNames=["here"],
            availabilityZone=ZONE,
            blueprintId="host",
            bundleId="external",
        )
        until(lambda: self.state() == "running", "the instance to run")

    def state(self) -> str:
        answer = self.deployment.call("GetInstanceState", instanceName="here")
        return str(answer["state"]["name"])

    def device(self, disk: str) -> str:
        return self.deployment.server.run("mooring", "device", "--disk-name", disk).output.strip()

    def file_system(self, disk: str = "data") -> Path:
        """A new disk with an ext4, mounted."""
        self.deployment.disk(disk)
        self.deployment.attach(disk, "here")
        run("mkfs.ext4", *LAYOUT, self.device(disk), "256M")
        return self.mount(disk)

    def mount(self, disk: str) -> Path:
        path = self.deployment.folder / f"mount-{disk}"
        path.mkdir(exist_ok=True)
        run("mount", self.device(disk), str(path))
        self.mounts.append(path)
        return path

    def unmount(self, path: Path) -> None:
        run("umount", str(path))
        self.mounts.remove(path)

    def restored(self, snapshot: str) -> str:
        """The device of a disk made from a snapshot, not mounted."""
        name = f"from-{snapshot}"
        self.deployment.call(
            "CreateDiskFromSnapshot",
            diskName=name,
            diskSnapshotName=snapshot,
            availabilityZone=ZONE,
            sizeInGb=8,
            tags=SHARED,
        )
        self.deployment.until_disk(name, "state", "available")
        self.deployment.attach(name, "here")
        return self.device(name)

    def told(self, snapshot: str) -> dict[str, object]:
        return dict(self.deployment.server.ask("snapshot", diskSnapshotName=snapshot))

    def close(self) -> None:
        for server in self.deployment._servers:
            server.kill()
        until(lambda: not holders(self.deployment), "everybody to be thawed")
        for path in self.mounts:
            subprocess.run(["umount", path], capture_output=True, check=False)
        devices = FuseDevices(self.deployment.data / "run" / ".devices", SystemClock(), exports_at)
        for disk_id in devices.known():
            with contextlib.suppress(Exception):
                devices.detach(disk_id)


def holders(deployment: Deployment) -> list[int]:
    """The processes that hold somebody at rest."""
    folder = str(deployment.data / "run" / ".holds")
    found = []
    for links in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if any(str(link.readlink()).startswith(folder) for link in links.iterdir()):
                found.append(int(links.parent.name))
    return found


@pytest.fixture
def host(deployment: Deployment) -> Iterator[Host]:
    if reason := why_not():
        pytest.skip(reason)
    host = Host(deployment)
    try:
        yield host
    finally:
        host.close()


def write(path: Path, content: bytes, *, sync: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def reached(written: list[int], goal: int) -> bool:
    return len(written) > goal


def is_clean(device: str) -> bool:
    """Whether there is nothing to replay and nothing to mend, looked at as it is."""
    if "needs_recovery" in run("dumpe2fs", "-h", device):
        return False
    run("e2fsck", "-fn", device)
    return True


def test_snapshots_of_a_mounted_file_system_are_clean(host: Host) -> None:
    host.start()
    host.instance()
    mount = host.file_system()
    contents = {f"f{n}": os.urandom(200_000) for n in range(20)}
    for number, (name, content) in enumerate(contents.items()):
        write(mount / name, content, sync=number % 2 == 0)

    host.deployment.snapshot("rest")
    assert host.told("rest")["consistency"] == "file-system"
    assert 0 < float(str(host.told("rest")["quiesceSeconds"])) < PATIENCE
    # The same without: what was not synchronised may be missing, and the journal replays.
    tag = {"key": "mooring:quiesce", "value": "off"}
    host.deployment.call("TagResource", resourceName="data", tags=[tag])
    write(mount / "late", b"late", sync=True)
    host.deployment.snapshot("crash")
    assert host.told("crash")["consistency"] == "crash"
    assert host.deployment.ended("rest", "crash") == ["completed"] * 2

    assert not is_clean(host.restored("crash"))
    assert is_clean(host.restored("rest"))
    restored = host.mount("from-rest")
    assert {path.name for path in restored.glob("f*")} == contents.keys()
    assert all((restored / name).read_bytes() == content for name, content in contents.items())
    assert not (restored / "late").exists()


def test_a_busy_file_system_snapshotted_again_and_again(host: Host) -> None:
    host.start()
    host.instance()
    mount = host.file_system()
    stop = threading.Event()
    written: list[int] = []

    def writer() -> None:
        while not stop.is_set():
            write(mount / f"n{len(written)}", os.urandom(20_000), sync=len(written) % 3 == 0)
            written.append(len(written))
            stop.wait(0.002)

    thread = threading.Thread(target=writer)
    thread.start()
    before = []
    try:
        for number in range(3):
            goal = 20 * (number + 1)
            until(partial(reached, written, goal), "the writer to go on")
            before.append(len(written))
            host.deployment.snapshot(f"s{number}")
            assert host.told(f"s{number}")["consistency"] == "file-system"
    finally:
        stop.set()
        thread.join()

    names = [f"s{number}" for number in range(3)]
    assert host.deployment.ended(*names) == ["completed"] * 3
    for name, count in zip(names, before, strict=True):
        assert is_clean(host.restored(name))
        restored = host.mount(f"from-{name}")
        # Also those that nobody had synchronised.
        assert {f"n{n}" for n in range(count)} <= {path.name for path in restored.iterdir()}


def test_two_snapshots_at_once(host: Host) -> None:
    host.start()
    host.instance()
    mounts = [host.file_system(), host.file_system("other")]
    for mount in mounts:
        write(mount / "file", b"x" * 100_000, sync=False)

    threads = [
        threading.Thread(target=host.deployment.snapshot, args=(f"s-{disk}", disk))
        for disk in ("data", "other")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [host.told(f"s-{disk}")["consistency"] for disk in ("data", "other")] == [
        "file-system"
    ] * 2
    for mount in mounts:
        write(mount / "after", b"x", sync=True)


@pytest.mark.parametrize("moment", ["request:switched", "request:frozen"])
def test_the_server_is_killed_between_freeze_and_thaw(host: Host, moment: str) -> None:
    program = [sys.executable, "-m", crashing_server.__name__]
    host.start(*program, "--victim", "server", "--moment", moment)
    host.instance()
    mount = host.file_system()
    crashing_server.arm(host.deployment.data)

    with contextlib.suppress(ConnectionError):
        host.deployment.snapshot("crashed")
    assert host.deployment.server.wait(PATIENCE), "the server lives"

    # No server is there, and the file system goes on.
    thread = threading.Thread(target=write, args=(mount / "f", b"x"), kwargs={"sync": True})
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the file system is still frozen"
    host.start()
    assert host.told("crashed")["consistency"] is None
    assert host.deployment.ended("crashed") == ["completed"]
    host.deployment.snapshot("again")
    assert host.told("again")["consistency"] == "file-system"


@pytest.mark.parametrize("moment", crashing_server.LEAVING_MOMENTS)
@pytest.mark.parametrize("victim", ["server", "both"])
def test_killed_while_the_instance_is_deleted(host: Host, victim: str, moment: str) -> None:
    """Its device waits ten minutes for its daemon: a start must neither end that nor wait."""
    program = [sys.executable, "-m", crashing_server.__name__]
    host.start(*program, "--victim", victim, "--moment", moment)
    host.instance()
    host.deployment.disk("data")
    host.deployment.attach("data", "here")
    with Path(host.device("data")).open("r+b", buffering=0) as device:
        device.write(b"kept" * 1024)
        os.fsync(device.fileno())
    crashing_server.arm(host.deployment.data)

    with contextlib.suppress(ConnectionError):
        host.deployment.call("DeleteInstance", instanceName="here")
    assert host.deployment.server.wait(PATIENCE), "the server lives"
    host.start()

    host.deployment.until_disk("data", "attachmentState", "detached")
    folder = host.deployment.data / "run" / ".devices"
    assert list(folder.iterdir()) == []
    host.deployment.instance("reader")
    with BlockingNbdClient(host.deployment.attach("data", "reader")) as client:
        assert client.read(0, 4096) == b"kept" * 1024


def test_a_mounted_disk_is_kept_and_one_that_is_not_goes_without_a_trace(host: Host) -> None:
    host.start()
    host.instance()
    mount = host.file_system()
    device = host.device("data")
    folder = host.deployment.data / "run" / ".devices"
    with pytest.raises(RefusedError, match=f"{device} is mounted at {mount}"):
        host.deployment.call("DetachDisk", diskName="data")
    for operation in ("StopInstance", "DeleteInstance"):
        with pytest.raises(RefusedError, match=f"is mounted at {mount}"):
            host.deployment.call(operation, instanceName="here")
    host.deployment.server.kill()
    write(mount / "file", b"without a server", sync=True)
    host.start()
    assert host.device("data") == device

    host.unmount(mount)
    host.deployment.detach("data")

    assert not list(folder.iterdir())
    assert not processes.naming(folder)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    host.deployment.attach("data", "here")
    assert (host.mount("data") / "file").read_bytes() == b"without a server"
    host.unmount(host.mounts[0])
    host.deployment.call("StopInstance", instanceName="here")
    until(lambda: host.state() == "stopped", "the instance to stop")
    assert not list(folder.iterdir())
    host.deployment.call("StartInstance", instanceName="here")
    until(lambda: host.state() == "running", "the instance to run")
    assert is_clean(host.device("data"))
    host.deployment.call("DeleteInstance", instanceName="here")
    host.deployment.until_disk("data", "state", "available")
    assert not list(folder.iterdir())


def test_the_storage_daemon_dies_under_a_mounted_file_system(host: Host) -> None:
    host.start()
    host.instance()
    mount = host.file_system()
    (pid,) = host.deployment.daemons().values()

    os.kill(pid, 9)
    write(mount / "file", b"over the death", sync=True)

    host.deployment.snapshot("after")
    assert host.told("after")["consistency"] == "file-system"
    assert host.deployment.ended("after") == ["completed"]
    assert is_clean(host.restored("after"))


def test_the_doctor_tells_and_the_next_server_mends(host: Host) -> None:
    host.start()
    host.instance()
    mount = host.file_system()
    write(mount / "file", b"kept", sync=True)
    device = host.device("data")
    (folder,) = (host.deployment.data / "run" / ".devices").iterdir()
    host.deployment.server.kill()
    assert f"ok   disk data: {device} on this host, mounted at {mount}" in doctor(host)

    os.kill(int((folder / "pid").read_text()), 9)
    found = [line for line in doctor(host) if line.startswith("BAD ")]
    assert len(found) == 1
    assert f"the process behind {device} was killed" in found[0]
    assert f"it is mounted at {mount}: end that" in found[0]

    host.start()
    with pytest.raises(Exception, match="was killed"):
        host.device("data")
    host.unmount(mount)
    again = host.mount("data")
    assert (again / "file").read_bytes() == b"kept"


def doctor(host: Host) -> list[str]:
    command = [sys.executable, "-m", "mooring.admin.main", "doctor"]
    done = subprocess.run(
        [*command, "--data", str(host.deployment.data)], capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()
