"""Disks used by another user than the server's, as libvirt's machines are."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.server import ServerProcess, client_program
from mooring.nbd.uri import parse_uri
from tests.conftest import find_tool
from tests.e2e import processes
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.guest import Guest, require_guest
from tests.e2e.processes import until

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user"),
]

GROUP = "daemon"
"""One that every Debian has, and whose members this test is."""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory with a short path that other users get to."""
    folder = Path(tempfile.mkdtemp(prefix="m-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    processes.end_all(folder)
    shutil.rmtree(folder)


class Shared(Deployment):
    """A server whose sockets a group may use."""

    def __init__(self, folder: Path, run: Path) -> None:
        super().__init__(folder)
        self.run = run
        self.config = folder / "settings.toml"

    def serve(self, group: str) -> None:
        """Start it with the setting, in place of one that runs."""
        self.server.kill()
        self.config.write_text(f'engine = {{ run = "{self.run}", socket_group = "{group}" }}\n')
        default = ServerProcess(self.data)._command[: -len(["--data", "D"])]
        self.start(*default, "--config", str(self.config))

    def daemon(self) -> int:
        """The pid of the one storage daemon."""
        (daemon,) = processes.storage_daemons(self.run).values()
        daemon.close()
        return daemon.pid

    def kill_daemon(self) -> None:
        """Kill it, and wait for the next one."""
        before = self.daemon()
        os.kill(before, signal.SIGKILL)

        def another() -> bool:
            found = processes.storage_daemons(self.run)
            for daemon in found.values():
                daemon.close()
            return any(daemon.pid != before for daemon in found.values())

        until(another, "another storage daemon")


@pytest.fixture
def shared(run_dir: Path, open_folder: Path) -> Iterator[Shared]:
    deployment = Shared(run_dir, open_folder / "run")
    try:
        yield deployment
    finally:
        deployment.close()


def _size(uri: str, group: str) -> str | None:
    """The size of the disk as nobody sees it, who is a member of the group; None if refused."""
    done = subprocess.run(
        [find_tool("nbdinfo"), "--size", uri],
        user=pwd.getpwnam("nobody").pw_uid,
        group=grp.getgrnam(group).gr_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        assert "Permission denied" in done.stderr, done.stderr
        return None
    return done.stdout.strip()


def test_members_of_the_group_may_and_others_may_not(shared: Shared) -> None:
    shared.serve(GROUP)
    uri = shared.used_disk()
    size = str(8 << 30)
    assert _size(uri, GROUP) == size
    assert _size(uri, "nogroup") is None

    shared.kill_daemon()
    until(lambda: _answers(uri), "the next daemon to serve the disk")
    assert _size(uri, GROUP) == size
    assert _size(uri, "nogroup") is None

    # What a daemon is told to do is nobody else's business.
    folder = Path(parse_uri(uri).socket or "").parent
    group = grp.getgrnam(GROUP).gr_gid
    for path in (folder, *folder.iterdir()):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.stat().st_gid != group:
            assert not mode & 0o077, path
        else:
            assert (path.name, mode) in ((folder.name, 0o710), ("nbd.sock", 0o660))

    # Another setting holds for daemons that run on, too.
    pid = shared.daemon()
    shared.serve("")
    assert _size(uri, GROUP) is None
    shared.serve(GROUP)
    assert _size(uri, GROUP) == size
    assert shared.daemon() == pid


def _answers(uri: str) -> bool:
    """Whether somebody listens: the name of a killed daemon's socket stays for a moment."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(parse_uri(uri).socket or "")
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def test_a_way_that_is_closed_is_told(shared: Shared) -> None:
    shared.run = shared.data / "run"
    shared.folder.mkdir(exist_ok=True)
    shared.config.write_text(f'engine = {{ socket_group = "{GROUP}" }}\n')
    command = [*ServerProcess(shared.data)._command, "--config", str(shared.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "lets nobody else through: set engine.run" in done.stderr

    shared.config.write_text('engine = { socket_group = "no-such-group" }\n')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no group no-such-group" in done.stderr


def test_a_guest_of_another_user_waits_while_a_daemon_is_restarted(
    shared: Shared, open_folder: Path
) -> None:
    require_guest()
    shared.serve(GROUP)
    shared.used_disk()
    told = subprocess.run(
        [str(client_program("mooring")), "uri", "--disk-name", "data", "--as", "qemu"],
        env={**os.environ, **shared.server.environment()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", "")
    user = (pwd.getpwnam("nobody").pw_uid, grp.getgrnam(GROUP).gr_gid)
    with Guest(open_folder / "g", {}, arguments=shlex.split(told), user=user) as guest:
        guest.run("mkfs.ext4 -q -E nodiscard /dev/vda 512M && mount /dev/vda /mnt")
        guest.begin(
            "i=1; while [ $i -le 40 ]; do yes $i | head -c 200000 > /mnt/$i && sync /mnt/$i && "
            "echo $i || exit 1; i=$((i+1)); done"
        )
        for turn in range(3):
            while int(guest.read_line()) < 10 * (turn + 1):
                pass
            shared.kill_daemon()
        guest.result()
        assert not guest.run("dmesg | grep -i -e 'I/O error' -e 'remounting' || true").strip()
        guest.run(
            "umount /mnt && mount /dev/vda /mnt && i=1; while [ $i -le 40 ]; do "
            "yes $i | head -c 200000 | cmp - /mnt/$i || exit 1; i=$((i+1)); done"
        )
    assert shared.call("GetDisk", diskName="data")["disk"]["location"]["availabilityZone"] == ZONE
