"""mooringd serve-snapshots: the process that serves a vault's snapshots over NBD."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mooring.model.clock import Clock, SystemClock
from mooring.model.errors import VaultError
from mooring.nbd.server import NbdServer
from mooring.nbd.server_transmission import Limits
from mooring.observe import logs
from mooring.vault.served.exports import SnapshotExports
from mooring.vault.served.grants import Grants
from mooring.vault.served.process import SOCKET_NAME, WANTED_NAME, inherit
from mooring.vault.store.place import is_bucket, open_place, read_secret
from mooring.vault.vault import Vault

THREADS = 8
IDLE_SECONDS = 15 * 60
"""After so long with no client, and nobody who asked for it, the process ends."""
CHECK_SECONDS = 1.0

LIMITS = Limits(connections=1024, memory=64 * 1024 * 1024)


def serve_snapshots(
    vault: str, s3: Mapping[str, str], key_file: str | None, run: Path, lock_fd: int
) -> int:
    """Serve until SIGTERM, or until nobody needs it. Raises VaultError, ConfigurationError."""
    os.umask(0o077)
    inherit(lock_fd)
    logs.configure("warning")
    clock = SystemClock()
    if not is_bucket(vault) and not Path(vault).is_dir():
        raise VaultError(f"the vault {vault} is away: mount it, or put it back")
    store = open_place(vault, s3)
    threads = os.cpu_count() or 1
    secret = read_secret(key_file) if key_file else None
    with (
        Vault.create_or_open(store, clock, threads=threads, create=False, secret=secret) as opened,
        ThreadPoolExecutor(THREADS, "reads") as executor,
    ):
        grants = Grants(run, clock)
        exports = SnapshotExports(opened, executor, clock, grants)
        asyncio.run(_serve(exports, grants, run, clock))
        # A read that hangs with its file system must not keep the process from ending.
        sys.stderr.flush()
        os._exit(0)


async def _serve(exports: SnapshotExports, grants: Grants, run: Path, clock: Clock) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = NbdServer(exports, limits=LIMITS)
    await server.listen_unix(run / SOCKET_NAME)
    used = clock.monotonic()
    while not ended.is_set():
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await ended.wait()
        except TimeoutError:
            pass
        wanted = _wanted_ms(run) > clock.now_ms() - IDLE_SECONDS * 1000
        if server.connections or wanted or grants.any():
            used = clock.monotonic()
        if clock.monotonic() - used > IDLE_SECONDS or not (run / SOCKET_NAME).exists():
            ended.set()
    await server.close()


def _wanted_ms(run: Path) -> int:
    try:
        return (run / WANTED_NAME).stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0
