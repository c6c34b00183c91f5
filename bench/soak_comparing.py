"""What a soak compares: snapshots and forks, with what was written."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from bench.soak_changes import LARGEST_GB, Forks
from bench.soak_snapshots import Snapshots, Taken
from bench.soak_writer import PART, Part, SoakError, Stage, sequences
from mooring.admin.vaults.chosen import find_snapshot
from mooring.model.extents import BLOCK_SIZE, Image
from mooring.nbd.blocking import BlockingNbdClient
from mooring.vault.vault import Vault
from tests.e2e.deployment import Deployment
from tests.e2e.processes import PATIENCE, until

REGION = "us-east-2"
STARTS = (0, 5 * 262144 - 500)
"""Each disk has two writers: at its start, and across the border of two tables of its layers."""


class Comparing:
    """Compares whole snapshots and forks with the histories of `parts`."""

    def __init__(
        self,
        deployment: Deployment,
        stage: Stage,
        snapshots: Snapshots,
        forks: Forks,
        parts: Sequence[Part],
    ) -> None:
        self.deployment = deployment
        self.counts = stage.counts
        self._snapshots = snapshots
        self._forks = forks
        self._parts = parts

    def open_vault(self, vault: Vault) -> None:
        """Read what snapshots hold there."""
        self._vault = vault

    def compare(self, taken: Taken, *, restored: bool) -> None:
        state_of = self._snapshots.state
        until(lambda: state_of(taken) != "pending", f"{taken.name} to end", 2 * PATIENCE)
        state = state_of(taken)
        if state not in ("completed", "available"):
            told = self.deployment.call("GetOperationsForResource", resourceName=taken.name)
            raise SoakError(f"{taken.name} of {taken.disks} is {state}: {told['operations']}")
        for disk, name in taken.roots.items():
            vault, root = find_snapshot([(REGION, self._vault)], name)
            with vault.open(root.id) as image:
                self._compare_parts(taken, disk, image)
                self._compare_rest(taken, disk, image)
            self.counts["compared"] += 1
        if restored and taken.instance is None:
            with (
                self.deployment.restored(taken.name, size_gb=LARGEST_GB) as (uri,),
                BlockingNbdClient(uri) as client,
            ):
                self._compare_parts(taken, taken.disks[0], client)
            self.counts["restored"] += 1

    def check_forks(self, chance: Random) -> None:
        """Compare forks, at times whole in a snapshot of them, and delete them, filled or not."""
        self._forks.gather()
        while self._forks.kept:
            forked = self._forks.kept.pop()
            made = self._forks.made(forked)
            if forked.instance is None:
                self.deployment.instance("reader")
                self.deployment.attach(forked.name, "reader")
            for disk, name in made.items():
                uri = str(self.deployment.server.ask("uri", diskName=name)["uri"])
                with BlockingNbdClient(uri) as client:
                    self._compare_parts(forked, disk, client)
            if chance.random() < 0.5:
                disk = chance.choice(list(made))
                self._compare_whole(forked, disk, made[disk])
            self._forks.delete(forked)
            kind = "forks compared" if forked.instance is None else "instance forks compared"
            self.counts[kind] += 1

    def _compare_whole(self, forked: Taken, disk: str, made: str) -> None:
        name = f"of-{made}"
        self.deployment.snapshot(name, made)
        if self.deployment.ended(name) != ["completed"]:
            raise SoakError(f"the snapshot of the fork {made} is not completed")
        vault, root = find_snapshot([(REGION, self._vault)], name)
        with vault.open(root.id) as image:
            self._compare_parts(forked, disk, image)
            self._compare_rest(forked, disk, image)
        self.deployment.call("DeleteDiskSnapshot", diskSnapshotName=name)

    def _compare_parts(self, taken: Taken, disk: str, image: Image | BlockingNbdClient) -> None:
        for part in self._parts:
            if part.disk == disk:
                found = sequences(image, part.history)
                wrong = part.history.wrong(found, taken.requested, taken.replied)
                if wrong:
                    raise SoakError(f"{taken.name} of {disk}: {wrong[:5]}")

    def _compare_rest(self, taken: Taken, disk: str, image: Image) -> None:
        """All else is zeros."""
        for extent in image.extents():
            for offset in range(extent.offset, extent.end, BLOCK_SIZE):
                block = offset // BLOCK_SIZE
                ours = any(start <= block < start + PART for start in STARTS)
                if not extent.zero and not ours and any(image.read(offset, BLOCK_SIZE)):
                    raise SoakError(f"{taken.name} of {disk} holds block {block}")
