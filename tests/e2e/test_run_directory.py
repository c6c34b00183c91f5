"""A run directory that the settings move while storage daemons run on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mooring.admin.serving.stopping import stop
from mooring.config.settings import EngineSettings, Region, Settings
from mooring.model.errors import ConfigurationError
from mooring.model.paths import ZONE_RUN_BYTES, Paths
from mooring.nbd.blocking import BlockingNbdClient
from mooring.wiring.build_server import build_server
from mooring.wiring.last_run import keep_run
from tests.e2e.deployment import ZONE, Deployment

pytestmark = pytest.mark.full


def test_no_server_starts_beside_the_daemons_of_before(run_dir: Path) -> None:
    deployment = Deployment(run_dir)
    try:
        deployment.start()
        with BlockingNbdClient(deployment.used_disk()) as client:
            client.write(0, bytes(4096))
        deployment.server.kill()
        data, before = str(deployment.data), deployment.data / "run"
        moved = Settings(data=data, engine=EngineSettings(run=str(run_dir / "r")))
        # Nobody has to name another: sockets of a zone with this name are too long below data.
        long = "z" * (ZONE_RUN_BYTES - len(str(before)))
        longer = Settings(data=data, regions={"us-east-2": Region(zones=[ZONE, long])})
        for settings in (moved, longer):
            with pytest.raises(ConfigurationError, match=f'set engine.run = "{before}"'):
                build_server(settings)
            assert len(deployment.daemons()) == 1

        # A copy of the data directory has nothing to do with them.
        copy = Paths(run_dir / "copy", run_dir / "r")
        copy.data.mkdir()
        shutil.copy(Paths(deployment.data).last_run, copy.last_run)
        keep_run(copy)

        assert stop(moved, force=False) == 0

        assert deployment.daemons() == {}
        for settings in (moved, longer):
            build_server(settings).stop()
    finally:
        deployment.close()
