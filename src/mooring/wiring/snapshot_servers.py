"""The processes that serve snapshots over NBD, and their command lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.config.settings import Settings
from mooring.model.clock import Clock
from mooring.model.paths import Paths
from mooring.vault.served.grants import Grants
from mooring.vault.served.interface import SnapshotServer
from mooring.wiring.data_directory import run_place
from mooring.wiring.vaults import s3_options, vault_place

if TYPE_CHECKING:
    from mooring.vault.vault import Vault


def snapshot_servers(
    settings: Settings,
    paths: Paths,
    clock: Clock,
    vaults: Mapping[str, Vault],
    only: str | None = None,
) -> dict[str, SnapshotServer]:
    """One for each region, or only for that one; none is started. Raises ConfigurationError."""
    if settings.engine.kind == "memory":
        return {}
    from mooring.vault.served.process import ServingProcess

    servers: dict[str, SnapshotServer] = {}
    _check_certificates(settings)
    for number, region in enumerate(settings.regions):
        if only not in (None, region):
            continue
        folder = paths.snapshots_run(region).absolute()
        command = [sys.executable, "-m", "mooring.admin.main", "serve-snapshots"]
        command += ["--vault", vault_place(settings, region)]
        for name, value in s3_options(settings).items():
            command += ["--s3", f"{name}={value}"]
        command += ["--run-dir", str(folder)]
        if key_file := settings.regions[region].key_file:
            command += ["--key-file", str(Path(key_file).expanduser().absolute())]
        command += _tcp_options(settings, number)
        servers[region] = ServingProcess(
            folder, command, clock, settings.nbd.name, partial(_vault_id, vaults, region)
        )
    return servers


def grants_of(settings: Settings, clock: Clock) -> dict[str, Grants]:
    """Who may read snapshots over NBD, by region, whether or not a server runs."""
    data = settings.data_directory.absolute()
    paths = Paths(data, run_place(settings, data))
    return {name: Grants(paths.snapshots_run(name).absolute(), clock) for name in settings.regions}


def withdraw(settings: Settings, clock: Clock, ends: Callable[[str], bool]) -> None:
    """Withdraw the grants of the access keys of which `ends` says so, by their ids."""
    for grants in grants_of(settings, clock).values():
        for name, grant in grants.all().items():
            if grant.key_id and ends(grant.key_id):
                grants.withdraw(name)


def _vault_id(vaults: Mapping[str, Vault], region: str) -> str | None:
    """Which vault is the region's; raises VaultError while it is away: nobody serves it then."""
    return vaults[region].id


def _check_certificates(settings: Settings) -> None:
    """Raise ConfigurationError now rather than when somebody wants to read a snapshot."""
    nbd = settings.nbd
    if nbd.host:
        from mooring.nbd.tls import server_context

        files = [nbd.certificate, nbd.key, nbd.client_authority]
        certificate, key, authority = (Path(one).expanduser() if one else None for one in files)
        assert certificate is not None
        server_context(certificate, key, authority)


def _tcp_options(settings: Settings, number: int) -> list[str]:
    """How the process that serves the snapshots of the region of that number is told of TCP."""
    nbd = settings.nbd
    if not nbd.host:
        return []
    options = ["--tcp", nbd.host, "--port", str(nbd.port + number if nbd.port else 0)]
    for name, file in (
        ("--certificate", nbd.certificate),
        ("--key", nbd.key),
        ("--client-authority", nbd.client_authority),
    ):
        if file:
            options += [name, str(Path(file).expanduser().absolute())]
    return options
