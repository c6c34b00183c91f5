"""The process that serves a vault's snapshots: started, found again, ended."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.host.processes.folder_process import LOCK_NAME, LOG_NAME, RUN, FolderProcess
from mooring.host.room import told_when_full
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError, StoreError
from mooring.nbd.uri import NbdUri
from mooring.vault.served.grants import Grants

SOCKET_NAME = "nbd.sock"
WANTED_NAME = "wanted"
TCP_NAME = "tcp"

ANSWER_SECONDS = 3.0
"""How long it may take to greet a client; disks wait for it no longer than five seconds."""


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
        self._process = FolderProcess(folder, clock, StoreError, "snapshots cannot be served")
        self._grants = Grants(folder, clock)

    def uri(self, export: str) -> str:
        """The NBD URI of an export."""
        return str(NbdUri(export, socket=str(self.folder / SOCKET_NAME)))

    def ensure(self) -> None:
        """Start it unless it runs; it accepts connections then. Raises StoreError.

        One that serves another vault, or another place, than the settings say now is ended first.
        """
        with told_when_full(self.folder, RUN):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / WANTED_NAME).touch(mode=0o600)
        self._process.ensure(self._command, self._accepts, {"vault": self._vault_id()})

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
        return self._process.alive()

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
        self._process.kill()

    def end(self) -> None:
        """Ask it to end, if it runs."""
        self._process.ask_to_end()

    def release(self) -> None:
        """Want it no more: it ends by itself, soon after its last reader and its last grant."""
        (self.folder / WANTED_NAME).unlink(missing_ok=True)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.folder / SOCKET_NAME))
            except OSError:
                return False
        return True
