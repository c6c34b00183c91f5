"""Kills of the soak: the server, the storage daemons, or both."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

from bench.soak_changes import Forks, Growths
from bench.soak_disks import DISKS
from bench.soak_model import Kill
from bench.soak_snapshots import Snapshots
from bench.soak_writer import SoakError, Stage
from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import Deployment
from tests.e2e.processes import PATIENCE, storage_daemons, until


class Kills:
    """Whoever is killed is back when it is done; a moment before, something was asked for."""

    def __init__(
        self,
        deployment: Deployment,
        stage: Stage,
        snapshots: Snapshots,
        growths: Growths,
        forks: Forks,
        chance: random.Random,
    ) -> None:
        self._deployment = deployment
        self._stage = stage
        self._snapshots = snapshots
        self._growths = growths
        self._forks = forks
        self._random = chance

    def kill_server(self) -> None:
        self._wait_a_moment()
        self.server_now()
        self._growths.finish()

    def kill_daemons(self) -> None:
        self._wait_a_moment()
        self.daemons_now()
        self._growths.finish()

    def kill_both(self) -> None:
        self._wait_a_moment()
        self.both_now()
        self._growths.finish()

    def _wait_a_moment(self) -> None:
        if self._random.random() < 0.7:
            self._snapshots.ask(self._random.choice(list(DISKS)))
        if self._random.random() < 0.4:
            self._forks.ask(self._random.choice(list(DISKS)))
        elif self._random.random() < 0.4:
            self._forks.ask(instance=self._random.choice(sorted(set(DISKS.values()))))
        if self._random.random() < 0.4:
            self._growths.begin(self._random.choice(list(DISKS)), self._random)
        time.sleep(self._random.choice((0.0, 0.005, 0.02, 0.1, 0.5)))

    def server_now(self) -> None:
        self._deployment.server.kill()
        self._restart()

    def daemons_now(self) -> None:
        self._kill(both=False)
        self._snapshots.gather(wait=True)
        self._forks.gather()
        until(self._well, "the storage daemons to be back")

    def both_now(self) -> None:
        self._kill(both=True)
        self._restart()
        until(self._well, "the storage daemons to be back")

    def _kill(self, *, both: bool) -> None:
        found = storage_daemons(self._deployment.data / "run")
        kill = Kill(time.monotonic())
        self._stage.kills.append(kill)
        for daemon in found.values():
            os.kill(daemon.pid, signal.SIGKILL)
        if both:
            self._deployment.server.kill()
        for daemon in found.values():
            if not daemon.wait(PATIENCE):
                raise SoakError(f"the storage daemon {daemon.pid} does not die")
            daemon.close()
        kill.ended = time.monotonic()

    def _restart(self) -> None:
        self._snapshots.end_asking()
        self._forks.end_asking()
        self._deployment.start()
        self._snapshots.gather(wait=True)
        self._forks.gather()

    def _well(self) -> bool:
        """Whether all disks are served; clients may still be on their way back."""
        with contextlib.suppress(NbdError):
            for uri in self._stage.uris.values():
                BlockingNbdClient(uri).close()
            return True
        return False
