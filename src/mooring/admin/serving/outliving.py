"""What outlives a server, who uses it, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.descriptions import NAME as DESCRIPTION
from mooring.engine.qemu.users.sockets import Peer, Sockets, command_of
from mooring.host.devices.fuse_devices import FuseDevices
from mooring.host.processes import lasting_process
from mooring.host.processes.folder_process import LOCK_NAME
from mooring.host.processes.lasting_process import LastingProcess
from mooring.model.clock import Clock
from mooring.model.errors import DescriptionError
from mooring.model.paths import Paths
from mooring.model.resources.disk_description import decode
from mooring.nbd.blocking import exports_at
from mooring.streams import one_line
from mooring.vault.served.process import SOCKET_NAME, WANTED_NAME


@dataclass(frozen=True, slots=True)
class Use:
    """What is used, and how, for people; `breakable` if that may be cut off."""

    what: str
    how: str
    breakable: bool = True

    def __str__(self) -> str:
        return f"{self.what}, {self.how}"


@dataclass(frozen=True, slots=True)
class _Running:
    """A process that serves over a socket: disks of an instance, or snapshots of a region."""

    process: LastingProcess
    bound: Path
    what: Callable[[int], str]


class Outliving:
    """The processes there are now. Close it; they run on."""

    def __init__(self, paths: Paths, run: Path, clock: Clock) -> None:
        """`run` is the run directory."""
        self._paths = Paths(paths.data, run)
        self._open = ExitStack()
        self._devices = FuseDevices(self._paths.devices(), clock, exports_at)
        self._daemons = [self._daemon(folder, found) for folder, found in process.running(run)]
        self._servers = [
            self._snapshots(folder, found)
            for folder in sorted(run.glob("snapshots-*"))
            if (found := lasting_process.find(folder / LOCK_NAME, folder)) is not None
        ]
        relay = self._paths.relay()
        self._relay = lasting_process.find(relay / LOCK_NAME, relay)
        for one in (*self._all(), *([self._relay] if self._relay else [])):
            self._open.enter_context(one)

    @property
    def daemons(self) -> int:
        """How many storage daemons there are."""
        return len(self._daemons)

    @property
    def any(self) -> bool:
        return bool(self._daemons or self._servers or self._relay or self._devices.known())

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Outliving:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def users(self) -> Iterator[Use]:
        """Who uses what is served; not what belongs to Mooring itself."""
        own = {one.pid for one in self._all()} | set(self._device_processes())
        for served in (*self._daemons, *self._servers):
            yield from self._users_of(served, own)
        for disk_id in self._devices.known():
            if users := self._devices.users(disk_id):
                what = f"disk {self._disk_name(disk_id)}, {self._devices.device(disk_id)}"
                yield Use(what, users, breakable=False)

    def end(self) -> None:
        """End them all; nobody is asked. Raises DiskBusyError, HostError before any has ended."""
        for disk_id in self._devices.known():
            self._devices.detach(disk_id)
        if self._relay is not None:
            self._relay.end(process.END_SECONDS)
        for one in (*self._daemons, *self._servers):
            (one.bound.parent / WANTED_NAME).unlink(missing_ok=True)
            one.process.ask_to_end()  # all at once: each may have much to write
        for one in (*self._daemons, *self._servers):
            one.process.end(process.END_SECONDS)

    # ---

    def _all(self) -> list[LastingProcess]:
        return [one.process for one in (*self._daemons, *self._servers)]

    def _users_of(self, served: _Running, own: set[int]) -> Iterator[Use]:
        sockets = Sockets(served.process.pid, served.process.pidfd, served.bound)
        try:
            links = sockets.links()
        except ProcessLookupError:
            return  # it has ended meanwhile
        except PermissionError:
            unseen = "the kernel does not let this user look (kernel.yama.ptrace_scope)"
            yield Use(served.what(0), f"perhaps: {unseen}")
            return
        for link in links.values():
            if link.peer.pid not in own:
                yield Use(served.what(link.inode), f"by {_told(link.peer)}")

    def _daemon(self, folder: Path, found: LastingProcess) -> _Running:
        names: dict[str, str] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            names = json.loads((folder / process.CLIENTS_FILE).read_text())["names"]

        def what(inode: int) -> str:
            zone = folder.parent.name
            instance = self._instance_name(zone, folder.name)
            name = names.get(str(inode))
            return f"{f'disk {name}' if name else 'a disk'} of instance {instance} in {zone}"

        return _Running(found, process.bound_at(folder), what)

    def _snapshots(self, folder: Path, found: LastingProcess) -> _Running:
        region = folder.name.removeprefix("snapshots-")
        return _Running(found, folder / SOCKET_NAME, lambda _: f"snapshots of {region}")

    def _instance_name(self, zone: str, instance_id: str) -> str:
        """What people call it, if a description of one of its disks tells."""
        for file in self._paths.engine(zone).glob(f"disks/*/{DESCRIPTION}"):
            with suppress(OSError, DescriptionError):
                instance = decode(file.read_bytes()).instance
                if instance is not None and instance.id == instance_id:
                    return one_line(instance.name)
        return instance_id

    def _disk_name(self, disk_id: str) -> str:
        for file in self._paths.zones.glob(f"*/disks/{disk_id}/{DESCRIPTION}"):
            with suppress(OSError, DescriptionError):
                return one_line(decode(file.read_bytes()).disk.name)
        return disk_id

    def _device_processes(self) -> Iterator[int]:
        for file in self._paths.devices().glob("*/pid"):
            with suppress(OSError, ValueError):
                yield int(file.read_text())


def _told(peer: Peer) -> str:
    if peer.remote is not None:
        return f"a machine at {peer.remote}"
    command = command_of(peer)
    return f"{one_line(command)} (process {peer.pid})" if command else f"process {peer.pid}"
