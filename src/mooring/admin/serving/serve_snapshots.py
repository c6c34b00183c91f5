"""mooringd serve-snapshots: the process that serves a vault's snapshots over NBD."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from mooring.admin.serving.descriptors import raise_limit
from mooring.host.processes.process_lock import inherit
from mooring.model.clock import Clock, SystemClock
from mooring.model.errors import ConfigurationError, VaultError
from mooring.nbd.server import NbdServer
from mooring.nbd.server_transmission import Limits
from mooring.nbd.tls import server_context
from mooring.observe import logs
from mooring.observe.loop import watch_other_threads
from mooring.vault.served.exports import SnapshotExports
from mooring.vault.served.grants import Grants
from mooring.vault.served.process import SOCKET_NAME, TCP_NAME, WANTED_NAME
from mooring.vault.store.place import is_missing, open_place, read_secret
from mooring.vault.vault import Vault, VaultOptions

log = structlog.get_logger("mooring.snapshots")

THREADS = 8
ASKED_SECONDS = 15 * 60
"""How long the process stays for a server that asked for it, and runs or was killed."""
UNUSED_SECONDS = 60.0
"""After so long with no reader and no grant the process ends, if no server asked for it."""
CHECK_SECONDS = 1.0

LIMITS = Limits(connections=1024, memory=64 * 1024 * 1024)


TCP_LIMITS = Limits(connections=256, memory=64 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Tcp:
    """Where to serve to other hosts, and with which certificates."""

    host: str
    port: int
    certificate: Path
    key: Path | None
    client_authority: Path | None


def serve_snapshots(
    vault: str,
    s3: Mapping[str, str],
    key_file: str | None,
    run: Path,
    lock_fd: int,
    tcp: Tcp | None = None,
) -> int:
    """Serve until SIGTERM, or until nobody needs it. Raises VaultError, ConfigurationError."""
    os.umask(0o077)
    inherit(lock_fd)
    logs.configure("warning")
    watch_other_threads()
    raise_limit(LIMITS.connections + TCP_LIMITS.connections)
    clock = SystemClock()
    if is_missing(vault):
        raise VaultError(f"the vault {vault} is away: mount it, or put it back")
    store = open_place(vault, s3)
    options = VaultOptions(threads=os.cpu_count() or 1)
    secret = read_secret(key_file) if key_file else None
    with (
        Vault.create_or_open(store, clock, options, create=False, secret=secret) as opened,
        ThreadPoolExecutor(THREADS, "reads") as executor,
    ):
        grants = Grants(run, clock)
        exports = SnapshotExports(opened, executor, clock, grants)
        asyncio.run(serve_while_needed(exports, grants, run, clock, tcp))
        # A read that hangs with its file system must not keep the process from ending.
        sys.stderr.flush()
        os._exit(0)


async def serve_while_needed(
    exports: SnapshotExports, grants: Grants, run: Path, clock: Clock, tcp: Tcp | None = None
) -> None:
    """Serve until SIGTERM, or until nobody reads, nobody may, and no server wants it to stay."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = NbdServer(exports, limits=LIMITS)
    (run / TCP_NAME).unlink(missing_ok=True)
    outer = None if tcp is None else await _serve_outside(exports, run, tcp)
    await server.listen_unix(run / SOCKET_NAME)
    used = clock.monotonic()
    while not ended.is_set():
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await ended.wait()
        except TimeoutError:
            pass
        if exports.readers or grants.any():
            used = clock.monotonic()
        asked = _asked_ms(run) > clock.now_ms() - ASKED_SECONDS * 1000
        unused = clock.monotonic() - used > UNUSED_SECONDS
        if (unused and not asked) or not (run / SOCKET_NAME).exists():
            ended.set()
    if outer is not None:
        await outer.close()
    await server.close()


async def _serve_outside(exports: SnapshotExports, run: Path, tcp: Tcp) -> NbdServer | None:
    """Serve to other hosts as well; None if that is not possible."""
    try:
        context = server_context(tcp.certificate, tcp.key, tcp.client_authority)
        # Ids of snapshots are no secrets; the names of grants are.
        outer = NbdServer(exports.granted_only(), limits=TCP_LIMITS, tls=context)
        port = await outer.listen_tcp(tcp.host, tcp.port)
    except ConfigurationError as error:
        # The disks of this host continue.
        log.error("snapshots are not served to other hosts", error=str(error))
        return None
    (run / TCP_NAME).write_text(json.dumps({"host": tcp.host, "port": port}))
    return outer


def _asked_ms(run: Path) -> int:
    try:
        return (run / WANTED_NAME).stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0
