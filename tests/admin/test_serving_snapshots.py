"""The process that serves snapshots stays while it is needed, and then ends by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.admin.serving import serve_snapshots
from mooring.admin.serving.serve_snapshots import (
    ASKED_SECONDS,
    UNUSED_SECONDS,
    serve_while_needed,
)
from mooring.model.clock import ManualClock, SystemClock
from mooring.model.errors import NbdError
from mooring.nbd.client import NbdClient
from mooring.nbd.uri import NbdUri
from mooring.vault.served.exports import SnapshotExports
from mooring.vault.served.grants import Grants
from mooring.vault.served.process import SOCKET_NAME, WANTED_NAME, ServingProcess
from mooring.wiring.vaults import make_vault
from tests.admin.servers import REGION, blocks, settings_at, store

SNAPSHOT = "5c9d2a3e-1f00-4c00-8a00-000000000001"
PATIENCE = 60


class Serving:
    """What such a process does, done here, by a clock that only the test moves."""

    def __init__(self, run: Path, clock: ManualClock, grants: Grants, task: asyncio.Task[None]):
        self.run, self.clock, self.grants = run, clock, grants
        self.looks = 0
        self._task = task

    async def connect(self, export: str) -> NbdClient:
        return await NbdClient.connect(NbdUri(export, socket=str(self.run / SOCKET_NAME)))

    def ask_for(self) -> None:
        """As a server does that wants it to stay."""
        (self.run / WANTED_NAME).touch()
        moment = self.clock.now_ms() * 1_000_000
        os.utime(self.run / WANTED_NAME, ns=(moment, moment))

    async def stays(self, seconds: float) -> bool:
        """Whether it does when so much time has passed, and it has looked twice."""
        self.clock.advance(seconds)
        upto = self.looks + 3  # one of them may be under way
        async with asyncio.timeout(PATIENCE):
            while self.looks < upto and not self._task.done():
                await asyncio.sleep(0)
        return not self._task.done()


Scenario = Callable[[Serving], Awaitable[None]]


@pytest.fixture
def play(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Scenario], None]:
    """Plays a scenario in which nobody needs the process in the end."""
    settings = settings_at(tmp_path / "data", tmp_path / "vault")
    store(settings, SNAPSHOT, blocks(1, 1))
    monkeypatch.setattr(serve_snapshots, "CHECK_SECONDS", 0.001)
    clock = ManualClock()
    grants = Grants(run_dir, clock)

    async def begin(exports: SnapshotExports, scenario: Scenario) -> None:
        task = asyncio.create_task(serve_while_needed(exports, grants, run_dir, clock))
        serving = Serving(run_dir, clock, grants, task)
        asked_ms = serve_snapshots._asked_ms

        def counted(run: Path) -> int:
            serving.looks += 1
            return asked_ms(run)

        monkeypatch.setattr(serve_snapshots, "_asked_ms", counted)
        try:
            assert await serving.stays(UNUSED_SECONDS)
            await scenario(serving)
            assert not await serving.stays(UNUSED_SECONDS + 1)
            assert not (run_dir / SOCKET_NAME).exists()
        finally:
            task.cancel()

    def run(scenario: Scenario) -> None:
        with make_vault(settings, REGION, SystemClock()) as vault, ThreadPoolExecutor(2) as pool:
            asyncio.run(begin(SnapshotExports(vault, pool, clock, grants), scenario))

    return run


Play = Callable[[Scenario], None]


def test_it_ends_when_nobody_ever_needed_it(play: Play) -> None:
    async def nothing(_: Serving) -> None: ...

    play(nothing)


def test_it_stays_for_the_disks_that_read(play: Play) -> None:
    async def scenario(serving: Serving) -> None:
        disk = await serving.connect(SNAPSHOT)
        assert await serving.stays(7 * 24 * 3600)
        await disk.read(0, 4096)
        await disk.close()
        assert await serving.stays(UNUSED_SECONDS)

    play(scenario)


def test_it_stays_as_long_as_somebody_may_read(play: Play) -> None:
    async def scenario(serving: Serving) -> None:
        name = serving.grants.add(SNAPSHOT, 3600)
        assert await serving.stays(3599)
        reader = await serving.connect(name)
        serving.grants.withdraw(name)
        # Whoever stays connected does not keep it, for he may read no more.
        assert await serving.stays(UNUSED_SECONDS)
        with pytest.raises(NbdError):
            await reader.read(0, 4096)
        serving.grants.add(SNAPSHOT, UNUSED_SECONDS)
        assert await serving.stays(UNUSED_SECONDS - 1)

    play(scenario)


def test_it_stays_for_a_while_when_a_server_asked_for_it(play: Play) -> None:
    async def scenario(serving: Serving) -> None:
        serving.ask_for()
        assert await serving.stays(ASKED_SECONDS - 1)
        serving.ask_for()
        assert await serving.stays(ASKED_SECONDS - 1)

    play(scenario)


def test_a_server_that_stops_lets_it_go(play: Play) -> None:
    async def scenario(serving: Serving) -> None:
        disk = await serving.connect(SNAPSHOT)
        serving.ask_for()
        server = ServingProcess(serving.run, [], serving.clock)
        server.release()
        assert await serving.stays(UNUSED_SECONDS + 1)
        await disk.close()
        assert await serving.stays(UNUSED_SECONDS - 1)

    play(scenario)
