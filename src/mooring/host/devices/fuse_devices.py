"""Block devices without the kernel's NBD: a FUSE export, and a loop device on it.

For each disk there is a process of qemu-storage-daemon that is a client of the disk's NBD server
and shows the disk as a file, on which the kernel makes a loop device. It outlives this process.
When the NBD server is started again the process connects again, and what was to be read or written
meanwhile waits; a FUSE export of the server itself would be lost with it, and the file system with
that. The loop device bears the disk's id as its name, by which it is found again.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from mooring.host.devices import loop
from mooring.host.devices.loop import DeviceLinks
from mooring.host.mounts import users_of
from mooring.host.processes import lasting_process
from mooring.host.processes.lasting_process import LastingProcess
from mooring.host.qmp import Monitor
from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import DiskAwayError, DiskBusyError, EngineError, HostError, NbdError
from mooring.model.extents import BLOCK_SIZE

PROGRAM = "qemu-storage-daemon"
FUSE = Path("/dev/fuse")

_MONITOR = "qmp"
_ANSWER_SECONDS = 30.0
_PR_SET_IO_FLUSHER = 57
_MNT_DETACH = 2
_START_SECONDS = 30.0
_END_SECONDS = 30.0
_SETTLE_SECONDS = 2.0
_SETTLE_PAUSE = 0.05
OPEN_SECONDS = 10
"""How long a disk's NBD server may take to answer first."""
_RECONNECT_SECONDS = 600
"""How long reads and writes wait for an NBD server that is away; then they fail."""

_AWAY = "away"

ExportsAt = Callable[[Path], Collection[str]]
"""The names of what the NBD server at a socket serves. Raises OSError, NbdError; it never hangs."""

log = structlog.get_logger("mooring.host")


class FuseDevices:
    """`folder` is for what belongs to the devices: one folder each, named by the disk's id."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        exports_at: ExportsAt,
        open_seconds: int = OPEN_SECONDS,
        links: DeviceLinks | None = None,
    ) -> None:
        self._exports_at = exports_at
        self._open_seconds = open_seconds
        self._links = links or DeviceLinks()
        self._folder = folder.absolute()
        self._clock = clock
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def why_not(self) -> str:
        if os.geteuid() != 0:
            return "only root can make block devices, and this server does not run as root"
        for path in (FUSE, loop.CONTROL):
            if not path.exists():
                return f"there is no {path} on this host"
        return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed"

    def attach(self, disk_id: str, uri: str) -> str:
        with self._locked(disk_id):
            if reason := self.why_not():
                raise HostError(f"the disk cannot be a block device here: {reason}")
            found = self._find(disk_id)
            if found is not None and not self._broken(disk_id):
                self._links.put(_export_name(uri), found.path)
                return found.path
            self._clear(disk_id)
            try:
                file = self._export(disk_id, uri)
                # For udev, which makes the same link where it runs.
                file.with_suffix(".name").write_text(f"{_export_name(uri)}\n")
                path = loop.bind(file, _name(disk_id))
                self._links.put(_export_name(uri), path)
                return path
            except BaseException:
                self._clear(disk_id)
                raise

    def grow(self, disk_id: str, size: int) -> None:
        with self._locked(disk_id):
            found = self._find(disk_id)
            if found is None or self._broken(disk_id):
                return
            try:
                # QEMU connects again, and learns of the size, when something is asked of it.
                with (self._folder / disk_id / "disk").open("rb", buffering=0) as file:
                    file.read(BLOCK_SIZE)
                self._resize(disk_id, size)
                self._await_size(self._folder / disk_id / "disk", size)
                loop.follow_file(found)
            except (OSError, EngineError) as error:
                raise HostError(
                    f"{found.path} cannot get the new size of its disk: {error}; "
                    "detach the disk and attach it again"
                ) from error

    def device(self, disk_id: str) -> str | None:
        found = self._find(disk_id)
        return None if found is None else found.path

    def users(self, disk_id: str) -> str:
        found = self._find(disk_id)
        return "" if found is None else users_of(found.path)

    def problem(self, disk_id: str) -> str:
        found = self._find(disk_id)
        if found is None or not self._broken(disk_id):
            return ""
        users = users_of(found.path)
        way_out = f"it is {users}: end that" if users else "nobody uses it"
        return (
            f"the process behind {found.path} was killed, so that reads and writes fail; "
            f"{way_out}, then ask for the device again or restart the server, which recreates it"
        )

    def known(self) -> Sequence[str]:
        return [path.name for path in self._folder.glob("*")] if self._folder.exists() else []

    def detach(self, disk_id: str) -> None:
        with self._locked(disk_id):
            found = self._find(disk_id)
            if found is not None and self._is_served(disk_id) is False:
                self._wait_no_longer(disk_id, found)
            self._clear(disk_id)

    def leave(self, gone: Collection[str]) -> Mapping[str, str]:
        problems = {}
        for disk_id in gone:
            try:
                self._leave(disk_id)
            except (DiskBusyError, HostError) as error:
                problems[disk_id] = str(error)
        return problems

    def adopt(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        problems = {}
        for disk_id, uri in wanted.items():
            try:
                self.attach(disk_id, uri)
            except (DiskBusyError, HostError) as error:
                problems[disk_id] = str(error)
        return problems

    # ---

    def _leave(self, disk_id: str) -> None:
        """Take the device away, without waiting for an NBD server that does not come back."""
        with self._locked(disk_id):
            found = self._find(disk_id)
            if found is not None and self._is_served(disk_id) is False:
                self._give_up(disk_id, found)
            self._clear(disk_id)

    def _wait_no_longer(self, disk_id: str, found: loop.LoopDevice) -> None:
        """Raise DiskAwayError: writing through would wait for the NBD server.

        That would be in the kernel, where nothing ends it. After so long as it would wait, what
        was written is given up. Raises DiskBusyError if somebody uses it.
        """
        away = _away_seconds(self._folder / disk_id, self._clock)
        if away < _RECONNECT_SECONDS and not users_of(found.path):
            raise DiskAwayError(
                f"what was written to {found.path} cannot be written through, because its disk is "
                "not served right now (`mooring stat --disk-name` says why). That is given up "
                f"in {counted(round(_RECONNECT_SECONDS - away), 'second')}"
            )
        self._give_up(disk_id, found)

    def _give_up(self, disk_id: str, found: loop.LoopDevice) -> None:
        if users := users_of(found.path):
            raise DiskBusyError(f"{found.path} is {users}")
        log.warning("a block device is given up, whose disk is not served", disk=disk_id)
        self._end(disk_id, 0.0)

    def _is_served(self, disk_id: str) -> bool | None:
        """Whether what the process behind the device reads from answers; None if none runs."""
        process = self._process(disk_id)
        if process is None:
            return None
        with process, contextlib.suppress(OSError, ValueError, KeyError, NbdError):
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            node = json.loads(words[words.index(b"--blockdev") + 1])
            if node["export"] in self._exports_at(Path(node["server"]["path"])):
                (self._folder / disk_id / _AWAY).unlink(missing_ok=True)
                return True
        return False

    def _resize(self, disk_id: str, size: int) -> None:
        """Let QEMU take the size that it has learned of. Raises EngineError."""
        place = self._folder / disk_id / _MONITOR
        with contextlib.closing(Monitor(place, self._clock, _ANSWER_SECONDS)) as monitor:
            arguments: dict[str, object] = {"node-name": "disk", "size": size}
            monitor.execute("block_resize", arguments, timeout=_ANSWER_SECONDS)

    def _await_size(self, file: Path, size: int) -> None:
        """Wait until the kernel, which remembers attributes for a second, knows the size.

        The loop device takes what is remembered. Raises OSError.
        """
        deadline = self._clock.monotonic() + _ANSWER_SECONDS
        while file.stat().st_size < size:
            if self._clock.monotonic() > deadline:
                raise OSError(f"{file} stays at {file.stat().st_size} bytes")
            self._clock.sleep(_SETTLE_PAUSE)

    @contextlib.contextmanager
    def _locked(self, disk_id: str) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault(disk_id, threading.Lock())
        with lock:
            yield

    def _find(self, disk_id: str) -> loop.LoopDevice | None:
        """The disk's loop device; not looked for where there was never one."""
        folder = self._folder / disk_id
        return loop.find(_name(disk_id), folder / "disk") if folder.exists() else None

    def _export(self, disk_id: str, uri: str) -> Path:
        """Start the process that shows the disk as a file."""
        folder = self._folder / disk_id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / "disk"
        file.touch(mode=0o600)
        parts = urlsplit(uri)
        node = {
            "driver": "nbd",
            "node-name": "disk",
            "server": {"type": "unix", "path": parse_qs(parts.query)["socket"][0]},
            "export": _export_name(uri),
            "reconnect-delay": _RECONNECT_SECONDS,
            "open-timeout": self._open_seconds,
            "discard": "unmap",
        }
        export = {
            "type": "fuse",
            "id": "disk",
            "node-name": "disk",
            "mountpoint": str(file),
            "writable": True,
            "growable": False,
            "allow-other": "off",
        }
        command = [PROGRAM, "--daemonize", "--pidfile", str(folder / "pid")]
        monitor = f"socket,id=qmp,path={folder / _MONITOR},server=on,wait=off"
        command += ["--chardev", monitor, "--monitor", "chardev=qmp"]
        command += ["--blockdev", json.dumps(node), "--export", json.dumps(export)]
        with (
            (folder / "log").open("wb") as log,
            _as_io_flusher(),
            lasting_process.kept_from_cleaning(folder) as locks,
        ):
            try:
                # It returns when the file is there. What it starts keeps no pipe of ours.
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    pass_fds=locks,
                    timeout=_START_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise HostError(f"the disk cannot be presented as a file: {error}") from error
        if done.returncode or not _is_mounted(file):
            text = (folder / "log").read_text(errors="replace").strip()
            raise HostError(f"the disk cannot be presented as a file: {text or done.returncode}")
        return file

    def _broken(self, disk_id: str) -> bool:
        """Whether what the loop device stands on is gone."""
        process = self._process(disk_id)
        if process is None:
            return True
        process.close()
        return not _is_mounted(self._folder / disk_id / "disk")

    def _clear(self, disk_id: str) -> None:
        """Take away the device and all that belongs to it."""
        found = self._find(disk_id)
        if found is not None and not self._release(found):
            raise DiskBusyError(f"{found.path} is {users_of(found.path) or 'in use'}")
        if found is not None:
            self._links.remove(found.path)
        folder = self._folder / disk_id
        if not folder.exists():
            return
        self._end(disk_id)
        file = folder / "disk"
        if _is_mounted(file):
            ctypes.CDLL(None).umount2(os.fsencode(file), _MNT_DETACH)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise HostError(f"{folder}, which belonged to a block device, cannot be removed")

    def _release(self, found: loop.LoopDevice) -> bool:
        """Free the loop device; whoever only looks at it, as udev does, may finish that."""
        deadline = self._clock.monotonic() + _SETTLE_SECONDS
        while not loop.release(found):
            if "mounted" in users_of(found.path) or self._clock.monotonic() > deadline:
                return False
            self._clock.sleep(_SETTLE_PAUSE)
        return True

    def _end(self, disk_id: str, patience: float = _END_SECONDS) -> None:
        """End the process; it has written everything by then."""
        process = self._process(disk_id)
        if process is not None:
            with process:
                process.end(patience, _END_SECONDS)

    def _process(self, disk_id: str) -> LastingProcess | None:
        """The disk's process; None if it does not run."""
        file = self._folder / disk_id / "pid"
        with contextlib.suppress(OSError):
            return lasting_process.find(file, file)
        return None


def _name(disk_id: str) -> str:
    return f"mooring:{disk_id}"


def _export_name(uri: str) -> str:
    """What the disk is called, by which it is exported."""
    return unquote(urlsplit(uri).path.removeprefix("/"))


def _away_seconds(folder: Path, clock: Clock) -> float:
    """For how long the NBD server is away since somebody wanted it first: a note in `folder`."""
    note, now = folder / _AWAY, clock.now_ms()
    with contextlib.suppress(OSError, ValueError):
        since = int(note.read_text())
        if since <= now:
            return (now - since) / 1000
    note.write_text(str(now))
    return 0.0


def _is_mounted(file: Path) -> bool:
    """Whether something is mounted on the file, dead or alive."""
    try:
        return file.stat().st_dev != file.parent.stat().st_dev
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the process behind the mount is gone


@contextlib.contextmanager
def _as_io_flusher() -> Iterator[None]:
    """Let what this thread starts get memory without waiting for writes that it has to do."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_IO_FLUSHER, 0, 0, 0, 0)
