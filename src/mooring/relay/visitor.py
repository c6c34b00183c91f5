"""One client on another host: what it may use, and that it alone does."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO

import structlog

from mooring.host.processes.folder_process import SERVED_NAME
from mooring.host.processes.process_lock import take
from mooring.model.clock import Clock
from mooring.model.errors import NbdError
from mooring.nbd.protocol import Reply
from mooring.relay import marks
from mooring.relay.daemon_side import Answer, Wanted, negotiate
from mooring.relay.marks import Remote
from mooring.relay.splice import splice
from mooring.relay.ways import Way, Ways, parse_export

log = structlog.get_logger("mooring.relay")

USERS = "users"
"""The folder with a locked file for each disk in use: by which client."""

_TAKE_SECONDS = 1.0
"""How long to wait for whoever used the disk: a client that comes again is its own predecessor."""
_DAEMON_SECONDS = 10.0
"""How long to wait for a daemon that is started again, or whose socket has no name just now."""
_END_SECONDS = 5.0
"""How long a daemon may take for the requests that a client left behind."""
_PAUSE = 0.02
_LOOK_SECONDS = 2.0

_UNKNOWN = Answer(
    (),
    Reply.ERR_UNKNOWN,
    b"no such disk for this certificate: `mooring uri --tcp` opens the way to an instance, and the "
    b"certificate must name the instance",
)


@dataclass(slots=True)
class _Use:
    """What is held while a disk is used."""

    way: Way
    daemon: socket.socket
    file: Path
    lock: IO[bytes]


class Visitor:
    """The door (`client_side.Door`) as it is for one client."""

    def __init__(self, folder: Path, address: str, clock: Clock, *, anybody: bool) -> None:
        """`anybody`: clients need no certificate, and may use whatever there is a way to."""
        self._folder = folder
        self._ways = Ways(folder)
        self._remote = Remote(address, "", "")
        self._clock = clock
        self._anybody = anybody
        self._names: list[str] = []
        self._use: _Use | None = None
        self._look_at = 0.0
        self._served = self._read_served()

    def enter(self, client: ssl.SSLSocket) -> None:
        certificate = client.getpeercert()
        self._names = names_of(certificate) if certificate else []
        self._remote = replace(self._remote, name=", ".join(self._names))
        if not self._anybody and not self._names:
            raise NbdError("the client's certificate has no name")

    def open(self, wanted: Wanted, *, stay: bool) -> Answer:
        place = parse_export(wanted.export)
        way = self._ways.find(*place[:2]) if place is not None else None
        if way is None or place is None or not (self._anybody or way.serves(self._names)):
            return _UNKNOWN
        if self._use is not None:
            raise NbdError("the client has opened a disk already")
        disk = place[2]
        self._remote = replace(self._remote, export=disk)
        lock = self._lock(way, disk)
        if isinstance(lock, str):
            return self._refuse(way, disk, lock)
        try:
            daemon, file = self._connect(way)
        except BaseException:
            lock.close()
            raise
        self._use = _Use(way, daemon, file, lock)
        try:
            daemon.settimeout(_DAEMON_SECONDS)
            answer = negotiate(daemon, replace(wanted, export=disk))
            if answer.error or not stay:
                self.leave()
        except BaseException:
            self.leave()
            raise
        return answer

    def stay(self, client: ssl.SSLSocket) -> None:
        """Let the client use the disk that it has opened, as long as it may. Raises OSError."""
        assert self._use is not None
        try:
            splice(client, self._use.daemon, self._may_stay)
        finally:
            # First, so that a client that comes again finds the disk free.
            self.leave()
            with contextlib.suppress(OSError):
                client.unwrap()

    def leave(self) -> None:
        """Give the disk back, once the daemon has done what the client had asked for."""
        use, self._use = self._use, None
        if use is None:
            return
        with contextlib.suppress(OSError), use.daemon:
            use.daemon.shutdown(socket.SHUT_WR)
            use.daemon.settimeout(_END_SECONDS)
            while use.daemon.recv(65536):
                pass
        use.file.unlink(missing_ok=True)
        use.lock.close()

    # ---

    def _may_stay(self) -> bool:
        """Whether the way is still there, asked for each request but looked at now and then."""
        now = self._clock.monotonic()
        if now < self._look_at or self._use is None:
            return True
        self._look_at = now + _LOOK_SECONDS
        way = self._use.way
        found = self._ways.find(way.region, way.instance)
        if found is None or found.instance_id != way.instance_id:
            return False
        return self._read_served() == self._served

    def _read_served(self) -> bytes:
        """As what the relay was started last; otherwise than this one, and it shall end."""
        with contextlib.suppress(OSError):
            return (self._folder / SERVED_NAME).read_bytes()
        return b""

    def _lock(self, way: Way, disk: str) -> IO[bytes] | str:
        """Be the one that uses the disk, or one of several; otherwise says who uses it."""
        folder = self._folder / USERS
        folder.mkdir(mode=0o700, exist_ok=True)
        name = sha256(f"{way.instance_id}/{disk}".encode()).hexdigest()
        deadline = self._clock.monotonic() + _TAKE_SECONDS
        file = (folder / name).open("ab+")
        try:
            while True:
                daemons = Path(way.socket).parent
                user = marks.noted(daemons, marks.KEPT_OFF).get(disk, "")
                if not user and take(file, shared=disk in way.shared):
                    file.truncate(0)
                    os.pwrite(file.fileno(), str(self._remote).encode(), 0)
                    return file
                if self._clock.monotonic() > deadline:
                    file.seek(0)
                    user = user or file.read(1000).decode(errors="replace") or "another client"
                    file.close()
                    return user
                self._clock.sleep(_PAUSE)
        except BaseException:
            file.close()
            raise

    def _refuse(self, way: Way, disk: str, user: str) -> Answer:
        text = f"{self._remote} was refused: {user} uses the disk"
        folder = Path(way.socket).parent
        marks.note(folder, marks.REFUSED, {**marks.noted(folder, marks.REFUSED), disk: text})
        log.warning("a second client was refused", disk=disk, why=text)
        return Answer((), Reply.ERR_POLICY, f"the disk is in use by {user}".encode())

    def _connect(self, way: Way) -> tuple[socket.socket, Path]:
        """Connect to the daemon; one that is away for long is told by hanging up.

        An error would have the client give up. Raises OSError.
        """
        path = Path(way.socket)
        deadline = self._clock.monotonic() + _DAEMON_SECONDS
        while True:
            try:
                return marks.connect(path.parent, path, self._remote)
            except (FileNotFoundError, ConnectionRefusedError):
                if self._clock.monotonic() > deadline:
                    raise
            self._clock.sleep(_PAUSE)


def names_of(certificate: object) -> list[str]:
    """The names of a certificate as `getpeercert` gives it: DNS names, else the common name."""
    told = certificate if isinstance(certificate, dict) else {}
    names = [name for kind, name in told.get("subjectAltName", ()) if kind == "DNS"]
    if names:
        return names
    subject = [pair for part in told.get("subject", ()) for pair in part]
    return [value for kind, value in subject if kind == "commonName"]
