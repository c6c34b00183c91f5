"""A data directory with a server that a test asks directly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mooring.config.settings import EngineSettings, Region, Settings
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE
from mooring.service.context import Context
from mooring.service.table import handlers
from mooring.wiring.build_server import build_server
from mooring.wiring.vaults import make_vault
from tests.vault.disks import info

REGION, ZONE = "us-east-2", "us-east-2a"


def settings_at(data: Path, vault: Path) -> Settings:
    """One region, with disks in memory and a vault in a directory."""
    return Settings(
        data=str(data),
        engine=EngineSettings(kind="memory"),
        regions={REGION: Region(zones=[ZONE], vault=str(vault))},
    )


class Server:
    """Ask with `call`; jobs run in `settle`."""

    def __init__(self, settings: Settings) -> None:
        self.mooring = build_server(settings)
        self._handlers = handlers(self.mooring.backend)

    def call(self, operation: str, *, region: str = REGION, **params: Any) -> Mapping[str, Any]:
        context = Context(
            region=region,
            caller="AKIATEST",
            request_id="request",
            invocation_id=None,
            received_ms=self.mooring.clock.now_ms(),
        )
        return self._handlers[operation](context, params)

    def settle(self) -> None:
        self.mooring.runner.drain()


@contextmanager
def running(settings: Settings) -> Iterator[Server]:
    server = Server(settings)
    try:
        server.mooring.backend.catalog.migrate()
        yield server
    finally:
        server.mooring.stop()


def store(settings: Settings, snapshot_id: str, content: bytes, **more: Any) -> None:
    """Put a snapshot into the vault of the region, past all servers."""
    with make_vault(settings, REGION, SystemClock()) as vault:
        parent = more.pop("parent", None)
        more.setdefault("name", f"name-of-{snapshot_id}")
        with vault.begin(info(snapshot_id, 8 << 30, **more), parent) as writer:
            writer.write(0, content)
            writer.commit()


def blocks(seed: int, count: int) -> bytes:
    """Blocks that do not compress and are all different."""
    return random.Random(seed).randbytes(count * BLOCK_SIZE)
