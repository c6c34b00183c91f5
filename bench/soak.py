"""Everything at once for a long time, each snapshot compared with a model.

    .venv/bin/python -m bench.soak --minutes 20 --seed 1

A server with several disks on two instances. Writers write, zero, trim and flush all the time;
snapshots of one disk and of all are taken, several at once, compared whole and deleted; disks grow,
are forked, reverted, detached and attached; the server, the storage daemons, or both are killed. It
ends with an error when a snapshot, a fork or a disk holds what it must not, a write is lost, or any
of it fails.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.soak_changes import LARGEST_GB, Forks, Growths
from bench.soak_model import Kill
from bench.soak_snapshots import Snapshots, Taken
from bench.soak_writer import PART, Part, SoakError, Stage, sequences
from mooring.admin.demo.server import client_program
from mooring.admin.vaults.chosen import find_snapshot
from mooring.config.load import load
from mooring.model.errors import NbdError
from mooring.model.extents import BLOCK_SIZE, Image
from mooring.nbd.blocking import BlockingNbdClient
from mooring.wiring.vaults import open_vault
from tests.e2e.deployment import Deployment
from tests.e2e.processes import PATIENCE, storage_daemons, until

REGION = "us-east-2"
DISKS = {"data": "db", "logs": "db", "index": "db", "mail": "mx"}
STARTS = (0, 5 * 262144 - 500)
"""Each disk has two writers: at its start, and across the border of two tables of its layers."""
MOST_KEPT = 10
BURST = 8


class Soak:
    """The deployment, its writers, and what is done to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.deployment = Deployment(folder)
        self.stage = Stage(self.fail)
        self.counts = self.stage.counts
        self._random = random.Random(seed)
        self._problems: list[str] = []
        self._parts: list[Part] = []
        self._snapshots = Snapshots(self.deployment, self.stage, DISKS)
        self._growths = Growths(self.deployment, self.stage)
        self._forks = Forks(self.deployment, self.stage)

    # --- the whole

    def run(self, seconds: float) -> None:
        """Raises SoakError."""
        self.deployment.start()
        for disk, instance in DISKS.items():
            self.stage.uris[disk] = self.deployment.used_disk(disk, instance)
        settings = load(None, str(self.deployment.data))
        vault = open_vault(settings, REGION)
        assert vault is not None
        with vault:
            self._vault = vault
            for disk in DISKS:
                for start in STARTS:
                    seed = self._random.randrange(1 << 30)
                    self._parts.append(Part(self.stage, disk, start, seed))
            try:
                for part in self._parts:
                    part.begin()
                self._act(seconds)
                self._finish()
            finally:
                self.stage.stopping.set()
                self._snapshots.close()
                self._forks.close()
                for part in self._parts:
                    part.join()
        self._end()

    def fail(self, problem: str) -> None:
        """A problem, told by any thread."""
        self._problems.append(problem)

    def _act(self, seconds: float) -> None:
        actions = [
            *[self.take_one] * 8, *[self.take_all] * 2, *[self.check] * 6, *[self.remove] * 3,
            self.burst, self.move, self.kill_server, self.kill_daemons, self.kill_both,
            *[self.grow] * 2, *[self.fork] * 2, *[self.revert] * 2,
        ]  # fmt: skip
        # Each once, however short the time is.
        waiting = self._random.sample(list(dict.fromkeys(actions)), len(set(actions)))
        deadline = time.monotonic() + seconds
        told = time.monotonic()
        while waiting or time.monotonic() < deadline:
            action = waiting.pop() if waiting else self._random.choice(actions)
            self.counts[action.__name__] += 1
            action()
            self._look()
            time.sleep(self._random.random() * 0.3)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{deadline - told:6.0f} s left: {self.summary()}", flush=True)

    def summary(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))

    def _look(self) -> None:
        if self._problems:
            raise SoakError("; ".join(self._problems))
        before = min(self._snapshots.oldest(), self._forks.oldest())
        for part in self._parts:
            part.history.fold(before, time.monotonic())

    # --- what is done

    def take_one(self) -> None:
        self._snapshots.ask(self._random.choice(list(DISKS)))

    def take_all(self) -> None:
        for instance in sorted(set(DISKS.values())):
            self._snapshots.ask(instance=instance)

    def burst(self) -> None:
        """Ask for more snapshots of one disk than may be pending."""
        disk = self._random.choice(list(DISKS))
        for _ in range(BURST):
            self._snapshots.ask(disk)

    def check(self) -> None:
        """Compare one snapshot, whole, and at times as a disk made of it."""
        self._snapshots.gather(wait=len(self._snapshots.kept) < 2)
        if self._snapshots.kept:
            taken = self._snapshots.pick(self._random)
            self._compare(taken, restored=self._random.random() < 0.1)
            self._snapshots.delete(taken)

    def remove(self) -> None:
        """Delete one snapshot unseen, pending or not; never hold too many."""
        self._snapshots.gather(wait=False)
        if self._snapshots.kept:
            self._snapshots.delete(self._snapshots.pick(self._random))
        while len(self._snapshots.kept) > MOST_KEPT:
            self.check()

    def move(self) -> None:
        """Detach a disk, take a snapshot of it, and attach it again."""
        # A snapshot of an instance fails if one of its disks leaves meanwhile.
        self._snapshots.gather(wait=True)
        disk = self._random.choice(list(DISKS))
        parts = [part for part in self._parts if part.disk == disk]
        with contextlib.ExitStack() as gates:
            for part in parts:
                gates.enter_context(part.gate)
                part.leave()
            self.deployment.detach(disk)
            self._snapshots.ask(disk)
            self._snapshots.gather(wait=True)
            self.stage.uris[disk] = self.deployment.attach(disk, DISKS[disk])

    def grow(self) -> None:
        """Make a disk larger, with a snapshot under way."""
        disk = self._random.choice(list(DISKS))
        self._snapshots.ask(disk)
        self._growths.begin(disk, self._random)
        self._snapshots.ask(disk)
        self._growths.finish()

    def fork(self) -> None:
        """Fork a disk, and compare what was forked before."""
        self._forks.ask(self._random.choice(list(DISKS)))
        self._check_forks()

    def revert(self) -> None:
        """Set a disk back to one of its snapshots; what it held is a snapshot more."""
        self._snapshots.gather(wait=True)
        choices = [taken for taken in self._snapshots.kept if taken.instance is None]
        if not choices:
            return
        back = self._random.choice(choices)
        (disk,) = back.disks
        self._compare(back, restored=False)
        parts = [part for part in self._parts if part.disk == disk]
        with contextlib.ExitStack() as gates:
            for part in parts:
                gates.enter_context(part.gate)
                part.leave()
            vault, root = find_snapshot([(REGION, self._vault)], back.name)
            with vault.open(root.id) as image:
                held = [sequences(image, part.history) for part in parts]
            self._snapshots.revert(disk, back.name)
            for part, found in zip(parts, held, strict=True):
                part.history.set_back(found, time.monotonic())
        self.counts["reverted"] += 1

    def kill_server(self) -> None:
        self._wait_a_moment()
        self.deployment.server.kill()
        self._restart()
        self._growths.finish()

    def kill_daemons(self) -> None:
        self._wait_a_moment()
        self._kill(both=False)
        self._snapshots.gather(wait=True)
        self._forks.gather()
        until(self._well, "the storage daemons to be back")
        self._growths.finish()

    def kill_both(self) -> None:
        self._wait_a_moment()
        self._kill(both=True)
        self._restart()
        until(self._well, "the storage daemons to be back")
        self._growths.finish()

    # ---

    def _wait_a_moment(self) -> None:
        if self._random.random() < 0.7:
            self._snapshots.ask(self._random.choice(list(DISKS)))
        if self._random.random() < 0.4:
            self._forks.ask(self._random.choice(list(DISKS)))
        if self._random.random() < 0.4:
            self._growths.begin(self._random.choice(list(DISKS)), self._random)
        time.sleep(self._random.choice((0.0, 0.005, 0.02, 0.1, 0.5)))

    def _kill(self, *, both: bool) -> None:
        found = storage_daemons(self.deployment.data / "run")
        kill = Kill(time.monotonic())
        self.stage.kills.append(kill)
        for daemon in found.values():
            os.kill(daemon.pid, signal.SIGKILL)
        if both:
            self.deployment.server.kill()
        for daemon in found.values():
            if not daemon.wait(PATIENCE):
                raise SoakError(f"the storage daemon {daemon.pid} does not die")
            daemon.close()
        kill.ended = time.monotonic()

    def _restart(self) -> None:
        self._snapshots.end_asking()
        self._forks.end_asking()
        self.deployment.start()
        self._snapshots.gather(wait=True)
        self._forks.gather()

    def _well(self) -> bool:
        """Whether all disks are served; clients may still be on their way back."""
        with contextlib.suppress(NbdError):
            for uri in self.stage.uris.values():
                BlockingNbdClient(uri).close()
            return True
        return False

    def _compare(self, taken: Taken, *, restored: bool) -> None:
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

    def _check_forks(self) -> None:
        """Compare forks, at times whole in a snapshot of them, and delete them, filled or not."""
        self._forks.gather()
        while self._forks.kept:
            forked = self._forks.kept.pop()
            (disk,) = forked.disks
            self.deployment.instance("reader")
            with BlockingNbdClient(self.deployment.attach(forked.name, "reader")) as client:
                self._compare_parts(forked, disk, client)
            if self._random.random() < 0.5:
                self._compare_whole(forked, disk)
            self.deployment.detach(forked.name)
            self.deployment.call("DeleteDisk", diskName=forked.name)
            self.counts["forks compared"] += 1

    def _compare_whole(self, forked: Taken, disk: str) -> None:
        name = f"of-{forked.name}"
        self.deployment.snapshot(name, forked.name)
        if self.deployment.ended(name) != ["completed"]:
            raise SoakError(f"the snapshot of the fork {forked.name} is not completed")
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

    # --- the end

    def _finish(self) -> None:
        """Compare all that is left, and snapshots of the quiet disks."""
        self.stage.stopping.set()
        for part in self._parts:
            part.join()
        self._snapshots.gather(wait=True)
        self._check_forks()
        while self._snapshots.kept:
            taken = self._snapshots.kept.pop()
            self._compare(taken, restored=False)
            self._snapshots.delete(taken)
        self.take_all()
        for disk in DISKS:
            self._snapshots.ask(disk)
        self._snapshots.gather(wait=True)
        for taken in self._snapshots.kept:
            self._compare(taken, restored=True)
        self._look()
        until(lambda: max(self._layer_counts()) <= 4, "the layers to merge", 2 * PATIENCE)

    def _layer_counts(self) -> Sequence[int]:
        folders = self.deployment.data.glob("zones/*/disks/*")
        return [len(list(folder.iterdir())) for folder in folders]

    def _end(self) -> None:
        """What the operator's commands say must be good, too."""
        self.deployment.server.stop()
        for command in ("verify", "doctor"):
            words = [client_program("mooringd"), command, "--data", self.deployment.data]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SoakError(f"mooringd {command}: {done.stdout}{done.stderr}")


def soak(folder: Path, seconds: float, seed: int) -> Counter[str]:
    """Run in an empty folder whose path is short; returns what was done. Raises SoakError."""
    made = Soak(folder, seed)
    try:
        made.run(seconds)
    finally:
        made.deployment.close()
    return made.counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=arguments.folder))
    print(f"seed {arguments.seed}, in {folder}", flush=True)
    try:
        counts = soak(folder, 60 * arguments.minutes, arguments.seed)
    except BaseException:
        print(f"FAILED with seed {arguments.seed}; all is left in {folder}", flush=True)
        raise
    shutil.rmtree(folder)
    print("all well: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
