"""What a soak does to disks beside snapshots of them: growth, and forks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random

from bench.soak_snapshots import Taken, system_of
from bench.soak_writer import Growth, SoakError, Stage
from mooring.model.extents import GIB
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import RefusedError
from tests.e2e.deployment import SHARED, Deployment

SMALLEST_GB, LARGEST_GB = 8, 64


class Growths:
    """Makes disks larger while their writers write."""

    def __init__(self, deployment: Deployment, stage: Stage) -> None:
        self._deployment = deployment
        self._stage = stage
        self._sizes: dict[str, int] = {}
        self._under_way: list[Growth] = []

    def begin(self, disk: str, chance: Random) -> None:
        """Ask for a growth; it is done from then on, whatever dies."""
        size_gb = self._sizes.get(disk, SMALLEST_GB) + chance.choice((1, 1, 3))
        if size_gb > LARGEST_GB:
            return
        growth = Growth(disk, time.monotonic())
        # First, for its writers may be cut off before the answer is here.
        self._stage.growths.append(growth)
        self._deployment.act("grow", diskName=disk, sizeInGb=size_gb)
        self._sizes[disk] = size_gb
        self._under_way.append(growth)
        self._stage.counts["growths"] += 1

    def finish(self) -> None:
        """Wait until all that was asked for is done; a server must be running."""
        for growth in self._under_way:
            size_gb = self._sizes[growth.disk]
            self._deployment.until_disk(growth.disk, "sizeInGb", size_gb)
            growth.ended = time.monotonic()
        grown = {growth.disk for growth in self._under_way}
        self._under_way.clear()
        for disk in grown:
            with BlockingNbdClient(self._stage.uris[disk]) as client:
                if client.info.size != self._sizes[disk] * GIB:
                    raise SoakError(f"{disk} is served with {client.info.size} bytes")


def is_system(disk: str, taken: Taken) -> bool:
    return disk == system_of(taken.instance)


class Forks:
    """Asks for forks in threads, so that some are under way when something dies."""

    def __init__(self, deployment: Deployment, stage: Stage, disks: Mapping[str, str]) -> None:
        """`disks` tells on which instance each disk is."""
        self._deployment = deployment
        self._stage = stage
        self._disks = disks
        self._pool = ThreadPoolExecutor(2, "forker")
        self._asking: list[tuple[Taken, Future[None]]] = []
        self.kept: list[Taken] = []
        """Those that are there, and not looked at yet."""

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def oldest(self) -> float:
        """As of snapshots."""
        there = [*self.kept, *(taken for taken, _ in self._asking)]
        return min([*(taken.requested for taken in there), time.monotonic()])

    def ask(self, disk: str | None = None, *, instance: str | None = None) -> None:
        self._stage.counts["forks"] += 1
        disks = [disk] if disk else [one for one, its in self._disks.items() if its == instance]
        taken = Taken(f"f{self._stage.counts['forks']}", disks, instance, time.monotonic())
        self._asking.append((taken, self._pool.submit(self._request, taken)))

    def _request(self, taken: Taken) -> None:
        taken.requested = time.monotonic()
        if taken.instance is None:
            names = {"diskName": taken.disks[0], "newDiskName": taken.name}
            self._deployment.act("fork", **names, tags=SHARED)
        else:
            names = {"instanceName": taken.instance, "newInstanceName": taken.name}
            self._deployment.act("fork-instance", **names)
        taken.replied = time.monotonic()

    def end_asking(self) -> None:
        """Wait until every request has ended somehow; a server need not be running."""
        for _, future in self._asking:
            future.exception()

    def gather(self) -> None:
        """Take in the answers; a server must be running."""
        for taken, future in self._asking:
            error = future.exception()
            if error is not None:
                if isinstance(error, RefusedError):
                    limited = error.code == "PendingSnapshotLimitExceeded"
                    if not limited and not self._stage.kills_after(taken.requested):
                        raise SoakError(f"fork {taken.name} of {taken.disks} was refused: {error}")
                elif not isinstance(error, OSError):
                    raise error
                taken.replied = time.monotonic()
            there = self._is_there(taken)
            if there != (error is None) and not isinstance(error, OSError):
                raise SoakError(f"fork {taken.name}: {error or 'answered'}; there: {there}")
            if there:
                self.kept.append(taken)
        self._asking = []

    def made(self, taken: Taken) -> dict[str, str]:
        """What the forks of its disks are called."""
        if taken.instance is None:
            return {taken.disks[0]: taken.name}
        own = f"{taken.instance}-"
        return {disk: f"{taken.name}-{disk.removeprefix(own)}" for disk in taken.disks}

    def delete(self, taken: Taken) -> None:
        """Delete what was made; nobody uses it any more."""
        made = self.made(taken)
        if taken.instance is not None:
            self._deployment.call("DeleteInstance", instanceName=taken.name)
            made = {disk: name for disk, name in made.items() if not is_system(disk, taken)}
            for name in made.values():
                self._deployment.until_disk(name, "state", "available")
        else:
            self._deployment.detach(taken.name)
        for name in made.values():
            self._deployment.call("DeleteDisk", diskName=name)

    def _is_there(self, taken: Taken) -> bool:
        found = {self._has("GetDisk", "diskName", name) for name in self.made(taken).values()}
        if taken.instance is not None:
            found.add(self._has("GetInstance", "instanceName", taken.name))
        if len(found) > 1:
            raise SoakError(f"of the fork {taken.name} of {taken.instance} only a part is there")
        return found == {True}

    def _has(self, operation: str, member: str, name: str) -> bool:
        try:
            self._deployment.call(operation, **{member: name})
        except RefusedError as error:
            if error.type != "NotFoundException":
                raise
            return False
        return True
