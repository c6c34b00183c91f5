"""The process that serves a vault's snapshots: started, found again, ended."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from mooring.host import lasting_process
from mooring.host.lasting_process import LastingProcess, last_line
from mooring.host.process_lock import is_held, take
from mooring.host.room import told_when_full, try_room
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError, StoreError
from mooring.nbd.uri import NbdUri
from mooring.vault.served.grants import RUN, Grants
from mooring.version import VERSION

SOCKET_NAME = "nbd.sock"
LOCK_NAME = "lock"
WANTED_NAME = "wanted"
LOG_NAME = "log"
TCP_NAME = "tcp"
SERVED_NAME = "served"
"""Says what is served: the command line, the program's version, the vault's id."""

START_SECONDS = 20.0
ANSWER_SECONDS = 3.0
"""How long it may take to greet a client; disks wait for it no longer than five seconds."""

_END_SECONDS = 5.0
_KILL_SECONDS = 5.0
_PAUSE_SECONDS = 0.01


class ServingProcess:
    """The process of one vault, in `folder`; it outlives whoever starts it.

    `command` runs it, with `--lock-fd` and a number after it, which it hands to
    `process_lock.inherit`.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        clock: Clock,
        host_name: str = "",
        vault_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`host_name` stands in the URIs of TCP, by default the address listened on.

        `vault_id` tells which vault is to be served, None if that is not known.
        """
        self._vault_id = vault_id
        self.folder = folder
        self._host_name = host_name
        self._command = command
        self._clock = clock
        self._grants = Grants(folder, clock)
        self._lock = threading.Lock()

    def uri(self, export: str) -> str:
        """The NBD URI of an export."""
        return str(NbdUri(export, socket=str(self.folder / SOCKET_NAME)))

    def ensure(self) -> None:
        """Start it unless it runs; it accepts connections then. Raises StoreError.

        One that serves another vault, or another place, than the settings say now is ended first.
        """
        with self._lock:
            served = self._served()
            with told_when_full(self.folder, RUN):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self.folder / WANTED_NAME).touch(mode=0o600)
            deadline = self._clock.monotonic() + START_SECONDS
            spawned = False
            if self.alive() and self._read_served() != served:
                self._end_and_wait()
            while not self._accepts():
                with (self.folder / LOCK_NAME).open("ab+") as lock:
                    if take(lock):
                        if spawned:
                            why = last_line(self.folder / LOG_NAME)
                            raise StoreError(f"snapshots cannot be served: {why}")
                        try_room(self.folder, RUN)
                        with told_when_full(self.folder, RUN):
                            (self.folder / SERVED_NAME).write_text(served, encoding="utf-8")
                        self._spawn(lock)
                        spawned = True
                if self._clock.monotonic() > deadline:
                    raise StoreError(
                        f"snapshots are not served within {START_SECONDS:g} s; see "
                        f"{self.folder / LOG_NAME}"
                    )
                self._clock.sleep(_PAUSE_SECONDS)

    def grant(
        self,
        snapshot_id: str,
        seconds: float,
        *,
        idle_seconds: float | None = None,
        tcp: bool = False,
        key_id: str = "",
    ) -> str:
        """Allow to read a snapshot for so long; returns the NBD URI, of TCP with TLS if asked.

        It ends with the access key `key_id`, if that is given, and when nobody was connected for
        `idle_seconds`. Raises StoreError, ConfigurationError if there is no TCP.
        """
        self.ensure()
        host, port = self._tcp_place() if tcp else ("", 0)
        name = self._grants.add(snapshot_id, seconds, key_id, idle_seconds)
        if not tcp:
            return self.uri(name)
        return str(NbdUri(name, host=self._host_name or host, port=port, tls=True))

    def _tcp_place(self) -> tuple[str, int]:
        try:
            place = json.loads((self.folder / TCP_NAME).read_text(encoding="utf-8"))
            return str(place["host"]), int(place["port"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                "snapshots are not served over TCP: set nbd.host and nbd.certificate, and restart "
                f"the server; if that was done, {self.folder / LOG_NAME} may say why not, or the "
                "process that serves them was started before: its id is in "
                f"{self.folder / LOCK_NAME}, end it"
            ) from None

    def withdraw(self, export: str, key_id: str) -> None:
        """End the grant of that name if the key asked for it; another's is left alone."""
        grant = self._grants.find(export)
        if grant is not None and grant.key_id == key_id:
            self._grants.withdraw(export)

    def granted(self) -> bool:
        """Whether somebody has been allowed to read a snapshot, and still is."""
        return self._grants.any()

    def alive(self) -> bool:
        """Whether it runs."""
        return is_held(self.folder / LOCK_NAME)

    def answers(self) -> bool:
        """Whether it greets whoever connects within some seconds; one that hangs does not.

        A vault that hangs does not keep it from that.
        """
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(ANSWER_SECONDS)
            try:
                probe.connect(str(self.folder / SOCKET_NAME))
                return bool(probe.recv(1))
            except TimeoutError:
                return False
            except OSError:
                return True  # it ends, or has just begun: that is not hanging

    def kill(self) -> None:
        """End it at once, whatever state it is in; its readers connect to the next one."""
        if (process := self._running()) is not None:
            with process:
                process.kill(ANSWER_SECONDS)

    def end(self) -> None:
        """Ask it to end, if it runs."""
        if (process := self._running()) is not None:
            with process:
                process.ask_to_end()

    def release(self) -> None:
        """Want it no more: it ends by itself, soon after its last reader and its last grant."""
        (self.folder / WANTED_NAME).unlink(missing_ok=True)

    def _end_and_wait(self) -> None:
        """Ask it to end, insist after a while, and wait until it is gone."""
        if (process := self._running()) is not None:
            with process:
                process.end(_END_SECONDS, _KILL_SECONDS)

    def _running(self) -> LastingProcess | None:
        """The process, None if none runs; only such a one names the folder."""
        with contextlib.suppress(OSError):
            if self.alive():
                return lasting_process.find(self.folder / LOCK_NAME, self.folder)
        return None

    def _served(self) -> str:
        told = {"command": list(self._command), "version": VERSION, "vault": self._vault_id()}
        return json.dumps(told) + "\n"

    def _read_served(self) -> str:
        try:
            return (self.folder / SERVED_NAME).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    def _accepts(self) -> bool:
        if not self.alive():
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.folder / SOCKET_NAME))
            except OSError:
                return False
        return True

    def _spawn(self, lock: IO[bytes]) -> None:
        """Start the process, which inherits the lock and keeps it to its end."""
        command = [*self._command, "--lock-fd", str(lock.fileno())]
        with (self.folder / LOG_NAME).open("ab") as log:
            try:
                lasting_process.start(command, self.folder, log, (lock.fileno(),))
            except (OSError, subprocess.CalledProcessError) as error:
                raise StoreError(f"the snapshot server cannot be started: {error}") from error
