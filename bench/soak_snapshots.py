"""The snapshots that a soak asks for: what became of each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from bench.soak_writer import SoakError, Stage
from mooring.model.resources.instance_snapshot import part_name
from tests.e2e.client import RefusedError
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until


@dataclass
class Taken:
    """A snapshot asked for, of a disk, or of all disks of an instance.

    Without an answer nobody knows whether it was taken.
    """

    name: str
    disks: Sequence[str]
    instance: str | None
    requested: float
    replied: float = float("inf")

    @property
    def roots(self) -> dict[str, str]:
        """What the vault calls it, by disk."""
        if self.instance is None:
            return {self.disks[0]: self.name}
        return {disk: part_name(self.name, disk) for disk in self.disks}


def system_of(instance: str | None) -> str:
    """What the system disk of an instance is called."""
    return f"{instance}-system"


class Snapshots:
    """Asks for snapshots in threads, so that several are under way when something dies."""

    def __init__(self, deployment: Deployment, stage: Stage, disks: Mapping[str, str]) -> None:
        """`disks` tells on which instance each disk is."""
        self._deployment = deployment
        self._stage = stage
        self._disks = disks
        self._pool = ThreadPoolExecutor(8, "asker")
        self.kept: list[Taken] = []
        """Those that are there."""
        self.asking: list[tuple[Taken, Future[None]]] = []

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def oldest(self) -> float:
        """When the oldest was asked for of those that are to be compared yet; now if none is."""
        requested = [taken.requested for taken in self.kept]
        requested += [taken.requested for taken, _ in self.asking]
        return min([*requested, time.monotonic()])

    def pick(self, chance: Random) -> Taken:
        """Take one out of those that are kept."""
        return self.kept.pop(chance.randrange(len(self.kept)))

    def end_asking(self) -> None:
        """Wait until every request has ended somehow; a server need not be running."""
        for _, future in self.asking:
            future.exception()

    def ask(self, disk: str | None = None, *, instance: str | None = None) -> None:
        self._stage.counts["asked"] += 1
        name = f"s{self._stage.counts['asked']}"
        disks = [disk] if disk else [one for one, its in self._disks.items() if its == instance]
        taken = Taken(name, disks, instance, time.monotonic())
        self.asking.append((taken, self._pool.submit(self._request, taken)))

    def _request(self, taken: Taken) -> None:
        taken.requested = time.monotonic()
        if taken.instance is None:
            disk = taken.disks[0]
            instance = self._disks[disk]
            named = {"diskName": disk}
            if disk == system_of(instance):
                named = {"instanceName": instance}
            self._deployment.call("CreateDiskSnapshot", **named, diskSnapshotName=taken.name)
        else:
            self._deployment.call(
                "CreateInstanceSnapshot",
                instanceName=taken.instance,
                instanceSnapshotName=taken.name,
            )
        taken.replied = time.monotonic()

    def revert(self, disk: str, back: str) -> None:
        """Revert the disk to a snapshot, and keep what it held; nobody must be connected."""
        self._stage.counts["asked"] += 1
        kept = Taken(f"s{self._stage.counts['asked']}", [disk], None, time.monotonic())
        names = {"diskName": disk, "diskSnapshotName": back, "keptSnapshotName": kept.name}
        refused: list[RefusedError] = []

        def accepted() -> bool:
            try:
                self._deployment.act("revert", **names)
            except RefusedError as error:
                # Clients that have just left may be seen still, or too much be pending.
                if error.code not in ("OperationFailure", "PendingSnapshotLimitExceeded"):
                    raise
                refused.append(error)
                return False
            return True

        try:
            until(accepted, f"{disk} to be reverted")
        except AssertionError as error:
            raise SoakError(f"{disk} cannot be reverted: {refused[-1]}") from error
        kept.replied = time.monotonic()
        self.kept.append(kept)

    def revert_in(self, disk: str, back: str, meanwhile: Callable[[], None]) -> bool:
        """Ask for a revert, do something meanwhile, and tell whether the disk is reverted."""
        self._stage.counts["asked"] += 1
        kept = Taken(f"s{self._stage.counts['asked']}", [disk], None, time.monotonic())
        names = {"diskName": disk, "diskSnapshotName": back, "keptSnapshotName": kept.name}
        asked = self._pool.submit(self._deployment.act, "revert", **names)
        meanwhile()
        error = asked.exception()
        if error is not None and not isinstance(error, RefusedError | OSError):
            raise error
        kept.replied = time.monotonic()
        # A server that was killed may have done it, and says so by the snapshot that it kept.
        done = self.state(kept) is not None
        if done != (error is None) and not isinstance(error, OSError):
            raise SoakError(f"revert of {disk} to {back}: {error or 'answered'}; done: {done}")
        if done:
            self.kept.append(kept)
        return done

    def gather(self, *, wait: bool) -> None:
        """Take in the answers; a server must be running."""
        left = []
        for taken, future in self.asking:
            if not wait and not future.done():
                left.append((taken, future))
                continue
            error = future.exception()
            if error is None:
                self.kept.append(taken)
            elif isinstance(error, RefusedError):
                self._refused(taken, error)
            elif isinstance(error, OSError):
                # The server died; it is another one's to say.
                taken.replied = time.monotonic()
                self._stage.counts["without answer"] += 1
                if self.state(taken) is not None:
                    self._stage.counts["taken all the same"] += 1
                    self.kept.append(taken)
            else:
                raise error
        self.asking = left

    def _refused(self, taken: Taken, error: RefusedError) -> None:
        limited = error.code == "PendingSnapshotLimitExceeded"
        if not limited and not self._stage.kills_after(taken.requested):
            raise SoakError(f"{taken.name} of {taken.disks} was refused: {error}")
        self._stage.counts["refused at the limit" if limited else "refused after a kill"] += 1
        if self.state(taken) is not None:
            raise SoakError(f"{taken.name} was refused, and is there")

    def state(self, taken: Taken) -> str | None:
        """The snapshot's state, None if it is not there."""
        try:
            if taken.instance is None:
                answer = self._deployment.call("GetDiskSnapshot", diskSnapshotName=taken.name)
                return str(answer["diskSnapshot"]["state"])
            answer = self._deployment.call("GetInstanceSnapshot", instanceSnapshotName=taken.name)
            return str(answer["instanceSnapshot"]["state"])
        except RefusedError as error:
            if error.type != "NotFoundException":
                raise
            return None

    def delete(self, taken: Taken) -> None:
        if taken.instance is None:
            self._deployment.call("DeleteDiskSnapshot", diskSnapshotName=taken.name)
        else:
            self._deployment.call("DeleteInstanceSnapshot", instanceSnapshotName=taken.name)
