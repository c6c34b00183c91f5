"""The process that serves attached disks to other hosts, and its command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.config.settings import Settings
from mooring.model.clock import Clock
from mooring.model.paths import Paths
from mooring.relay.interface import NoRelay, Relay

if TYPE_CHECKING:
    from mooring.relay.process import RelayProcess


def relay(settings: Settings, paths: Paths, clock: Clock) -> Relay:
    """What serves attached disks to other hosts; nothing where they have no sockets."""
    if settings.engine.kind == "memory":
        return NoRelay()
    return relay_process(settings, paths, clock)


def relay_process(settings: Settings, paths: Paths, clock: Clock) -> RelayProcess:
    """The one of this host, not started; one that serves nothing unless it is set up."""
    from mooring.relay.process import RelayProcess

    disks = settings.nbd_disks
    folder = paths.relay().absolute()
    if not disks.host:
        return RelayProcess(folder, None, clock)
    command = [sys.executable, "-m", "mooring.admin.main", "serve-disks"]
    command += ["--run-dir", str(folder), "--tcp", disks.host, "--port", str(disks.port)]
    files = {
        "--certificate": disks.certificate,
        "--key": disks.key,
        "--client-authority": disks.client_authority,
    }
    for option, file in files.items():
        if file:
            command += [option, str(_place(file))]
    command += ["--connections", str(disks.connections)]
    command += ["--connections-per-address", str(disks.connections_per_address)]
    return RelayProcess(folder, command, clock, disks.name)


def check_certificates(settings: Settings) -> None:
    """Raise ConfigurationError now rather than when somebody wants to use a disk."""
    disks = settings.nbd_disks
    if disks.host:
        from mooring.nbd.tls import server_context

        key = _place(disks.key) if disks.key else None
        authority = _place(disks.client_authority) if disks.client_authority else None
        server_context(_place(disks.certificate), key, authority, "nbd_disks")


def _place(file: str) -> Path:
    return Path(file).expanduser().absolute()
