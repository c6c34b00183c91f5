"""A small Linux under software emulation, whose disks are NBD exports.

The kernel is Debian's, unpacked by scripts/setup into `.guest`; the rest of the guest is an
initramfs made here. The test speaks with a shell in the guest over a serial line:

    with Guest(folder, {"data": uri}) as guest:
        guest.run("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt")

With `agent=True` the guest runs QEMU's guest agent, whose socket on this host is `agent_socket`.
With `from_disk=True` the initramfs hands over to the system on the first disk: system_image.py.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest

from mooring.host.qmp import Monitor
from mooring.model.clock import SystemClock
from mooring.nbd.uri import parse_uri
from tests.conftest import CHECKOUT, find_tool
from tests.e2e.initramfs import Initramfs, modules
from tests.e2e.processes import until
from tests.e2e.system_image import ENTRY

FILES = CHECKOUT / ".guest"
AGENT_PORT = "org.qemu.guest_agent.0"

_DRIVERS = ("virtio_pci", "virtio_blk", "virtio_console")
_PROGRAMS = ("mkfs.ext4", "e2fsck", "resize2fs")
_BOOT_SECONDS = 120.0
_COMMAND_SECONDS = 120.0
_MONITOR_SECONDS = 30.0
_MEMORY_MIB = 256
READY = "guest-is-ready"

_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /run /mnt /tmp
ln -s /proc/mounts /etc/mtab
for module in /modules/*; do insmod $module; done
if [ -x /usr/sbin/qemu-ga ]; then
    for port in /sys/class/virtio-ports/*; do
        if [ "$(cat $port/name)" = {agent_port} ]; then
            qemu-ga --daemonize --method virtio-serial --path /dev/${{port##*/}} --statedir /run \\
                --pidfile /run/qemu-ga.pid --logfile /dev/console
        fi
    done
fi
exec 3< /dev/ttyS1 > /dev/ttyS1
stty raw -echo <&3
echo {ready}
while read -r line <&3; do eval "$line" < /dev/null; done
"""


def require_guest() -> None:
    """Skip the test where guests cannot run; in CI fail it."""
    for tool in ("qemu-system-x86_64", "busybox", "ldd", *_PROGRAMS):
        find_tool(tool)
    if not list(FILES.glob("boot/vmlinuz-*")):
        reason = f"there is no kernel in {FILES}: run CI=1 scripts/setup"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


class GuestError(Exception):
    """A command failed in the guest, or the guest itself did."""


class Guest:
    """A running guest; its disks are /dev/vda, /dev/vdb and so on, in the order given."""

    def __init__(
        self,
        folder: Path,
        disks: Mapping[str, str],
        *,
        agent: bool = False,
        from_disk: bool = False,
        arguments: Sequence[str] = (),
        user: tuple[int, int] | None = None,
    ) -> None:
        """`folder` is made, and must be short enough for sockets; `disks` are NBD URIs.

        `arguments` are more of the emulator's; `user` and group are whose process it is.
        """
        self._folder = folder
        self._disks = disks
        self._agent = agent
        self._from_disk = from_disk
        self._arguments = arguments
        self._user = user
        self.agent_socket = folder / "agent"
        self._console = folder / "console.log"
        self._unread = b""

    def __enter__(self) -> Guest:
        self._folder.mkdir()
        made = _initramfs(agent=self._agent, from_disk=self._from_disk)
        made.write(self._folder / "initrd")
        uid, gid = self._user or (None, None)
        if self._user is not None:
            # Where the checkout is, another user may not get to.
            (kernel,) = FILES.glob("boot/vmlinuz-*")
            shutil.copy(kernel, self._folder / "kernel")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, *self._user)
        with (self._folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                user=uid,
                group=gid,
                extra_groups=None if gid is None else [],
            )
        try:
            self._line = self._connect()
            # What is sent before there is a shell is lost.
            while self.read_line(_BOOT_SECONDS).strip() != READY:
                pass
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def run(self, command: str, seconds: float = _COMMAND_SECONDS) -> str:
        """Run a command in the guest's shell; return what it printed. Raises GuestError."""
        self.begin(command)
        return self.result(seconds)

    def begin(self, command: str) -> None:
        """Give a command of one line to the shell; ask for its `result` before the next.

        It runs in a subshell: what it sets is forgotten, what it starts with `&` goes on.
        """
        assert "\n" not in command
        self._nonce = secrets.token_hex(8)
        # In two parts, so that an echo of the command is not taken for its end.
        end = f"echo {self._nonce[:8]}''{self._nonce[8:]} $?"
        self._line.sendall(f"( {command} ) 2>&1; {end}\n".encode())

    def result(self, seconds: float = _COMMAND_SECONDS) -> str:
        """Wait for a command's end; return what it printed. Raises GuestError."""
        deadline = time.monotonic() + seconds
        printed = []
        while not (line := self._read_line(deadline)).startswith(self._nonce):
            printed.append(line)
        text = "".join(printed)
        if line.split()[1:] != ["0"]:
            raise GuestError(f"it ended with {line.split()[1:]}:\n{text}")
        return text

    def read_line(self, seconds: float = _COMMAND_SECONDS) -> str:
        """The next line that the command under way prints."""
        return self._read_line(time.monotonic() + seconds)

    def resize(self, number: int, size: int) -> None:
        """Tell the emulator how large a disk is now, as `virsh blockresize` does."""
        monitor = Monitor(self._folder / "qmp", SystemClock(), _MONITOR_SECONDS)
        try:
            arguments: dict[str, object] = {"node-name": f"disk{number}", "size": size}
            monitor.execute("block_resize", arguments, timeout=_MONITOR_SECONDS)
        finally:
            monitor.close()

    def kill(self) -> None:
        """Cut the guest's power."""
        self._process.kill()
        self._process.wait()

    # ---

    def _command(self) -> list[str]:
        (kernel,) = FILES.glob("boot/vmlinuz-*")
        if self._user is not None:
            kernel = self._folder / "kernel"
        options = {
            "-machine": "pc,accel=tcg",
            "-cpu": "max",
            "-m": f"{_MEMORY_MIB}",
            "-display": "none",
            "-kernel": str(kernel),
            "-initrd": str(self._folder / "initrd"),
            "-append": "console=ttyS0 quiet panic=-1 random.trust_cpu=on",
        }
        command = [find_tool("qemu-system-x86_64"), "-nodefaults", "-no-reboot"]
        for option, value in options.items():
            command += [option, value]
        command += ["-serial", f"file:{self._console}"]
        command += ["-serial", f"unix:{self._folder / 'shell'},server=on,wait=off"]
        command += ["-qmp", f"unix:{self._folder / 'qmp'},server=on,wait=off"]
        for number, uri in enumerate(self._disks.values()):
            place = parse_uri(uri)
            command += [
                "-blockdev",
                f"driver=nbd,node-name=disk{number},server.type=unix,server.path={place.socket},"
                f"export={place.export},reconnect-delay=60,discard=unmap",
                "-device",
                f"virtio-blk-pci,drive=disk{number}",
            ]
        command += self._arguments
        if self._agent:
            command += [
                "-chardev", f"socket,id=agent,path={self.agent_socket},server=on,wait=off",
                "-device", "virtio-serial-pci",
                "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}",
            ]  # fmt: skip
        return command

    def _connect(self) -> socket.socket:
        path = str(self._folder / "shell")
        found: list[socket.socket] = []

        def connects() -> bool:
            # The socket's name is there before anybody listens.
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(path)
            except (FileNotFoundError, ConnectionRefusedError):
                line.close()
                return self._process.poll() is not None
            found.append(line)
            return True

        until(connects, "the emulator to start")
        if not found:
            raise GuestError(f"the emulator ended: {self._logs()}")
        return found[0]

    def _read_line(self, deadline: float) -> str:
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            try:
                self._line.settimeout(max(0.001, left))
                received = self._line.recv(1 << 16)
            except TimeoutError as error:
                raise GuestError(f"it does not answer: {self._logs()}") from error
            if not received:
                raise GuestError(f"it has ended: {self._logs()}")
            self._unread += received
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode(errors="replace").rstrip("\r") + "\n"

    def _logs(self) -> str:
        logs = [self._folder / "qemu.log", self._console]
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def _end(self) -> None:
        self.kill()
        if hasattr(self, "_line"):
            self._line.close()


def _initramfs(*, agent: bool, from_disk: bool) -> Initramfs:
    made = Initramfs()
    for folder in ("dev", "proc", "sys", "etc"):
        made.folder(folder)
    made.file("bin/busybox", Path(find_tool("busybox")).read_bytes())
    for number, (name, content) in enumerate(modules(FILES, _DRIVERS)):
        made.file(f"modules/{number:02d}-{name}", content)
    for name in _PROGRAMS:
        made.program(Path(find_tool(name)), f"usr/sbin/{name}")
    if agent:
        made.program(FILES / "usr" / "sbin" / "qemu-ga", "usr/sbin/qemu-ga")
    entry = ENTRY if from_disk else _INIT.format(agent_port=AGENT_PORT, ready=READY)
    made.file("init", entry.encode())
    return made
