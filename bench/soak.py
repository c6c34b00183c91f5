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
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.ceph_cluster import Cluster
from bench.soak_changes import Forks, Growths
from bench.soak_comparing import REGION, STARTS, Comparing
from bench.soak_disks import DISKS, is_system, make_disks
from bench.soak_kills import Kills
from bench.soak_snapshots import Snapshots
from bench.soak_writer import Part, SoakError, Stage, sequences
from mooring.admin.demo.server import client_program
from mooring.admin.vaults.chosen import find_snapshot
from mooring.config.load import load
from mooring.wiring.vaults import open_vault
from tests.e2e.deployment import Deployment
from tests.e2e.processes import PATIENCE, until

MOST_KEPT = 10
BURST = 8


class Soak:
    """The deployment, its writers, and what is done to them."""

    def __init__(self, folder: Path, seed: int, cluster: Cluster | None) -> None:
        self._cluster = cluster
        self.deployment = Deployment(folder, None if cluster is None else cluster.settings())
        self.stage = Stage(self.fail)
        self.counts = self.stage.counts
        self._random = random.Random(seed)
        self._problems: list[str] = []
        self._parts: list[Part] = []
        self._snapshots = Snapshots(self.deployment, self.stage, DISKS)
        self._growths = Growths(self.deployment, self.stage)
        self._forks = Forks(self.deployment, self.stage, DISKS)
        self._kills = Kills(
            self.deployment, self.stage, self._snapshots, self._growths, self._forks, self._random
        )
        self._comparing = Comparing(
            self.deployment, self.stage, self._snapshots, self._forks, self._parts
        )

    # --- the whole

    def run(self, seconds: float) -> None:
        """Raises SoakError."""
        self.deployment.start()
        make_disks(self.deployment, self.stage)
        settings = load(None, str(self.deployment.data))
        vault = open_vault(settings, REGION)
        assert vault is not None
        with vault:
            self._vault = vault
            self._comparing.open_vault(vault)
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
        kills = self._kills
        actions = [
            *[self.take_one] * 8, *[self.take_all] * 2, *[self.check] * 6, *[self.remove] * 3,
            self.burst, self.move, kills.kill_server, kills.kill_daemons, kills.kill_both,
            *[self.grow] * 2, *[self.fork] * 2, self.fork_instance, *[self.revert] * 2,
            *[self.revert_and_kill] * 2,
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
            self._comparing.compare(taken, restored=self._random.random() < 0.1)
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
        disk = self._random.choice([disk for disk in DISKS if not is_system(disk)])
        with self._away(disk):
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
        self._comparing.check_forks(self._random)

    def fork_instance(self) -> None:
        """Fork an instance with all its disks, and compare what was forked before."""
        self._forks.ask(instance=self._random.choice(sorted(set(DISKS.values()))))
        self._comparing.check_forks(self._random)

    def revert(self) -> None:
        """Set a disk back to one of its snapshots; what it held is a snapshot more."""
        self._revert(None)

    def revert_and_kill(self) -> None:
        """Kill the server, the daemons, or both while a disk is set back, or right before."""
        kills = self._kills
        kill = self._random.choice((kills.server_now, kills.daemons_now, kills.both_now))

        def meanwhile() -> None:
            time.sleep(self._random.choice((0.0, 0.01, 0.05, 0.1, 0.2)))
            kill()

        self._revert(meanwhile)

    def _revert(self, meanwhile: Callable[[], None] | None) -> None:
        self._snapshots.gather(wait=True)
        choices = [taken for taken in self._snapshots.kept if taken.instance is None]
        if not choices:
            return
        back = self._random.choice(choices)
        (disk,) = back.disks
        self._comparing.compare(back, restored=False)
        with self._away(disk) as parts:
            vault, root = find_snapshot([(REGION, self._vault)], back.name)
            with vault.open(root.id) as image:
                held = [sequences(image, part.history) for part in parts]
            if meanwhile is None:
                self._snapshots.revert(disk, back.name)
            else:
                until(lambda: not self._clients(disk), f"{disk} to be free of clients")
                if not self._snapshots.revert_in(disk, back.name, meanwhile):
                    self.counts["not reverted after a kill"] += 1
                    return
                self.counts["reverted in a kill"] += 1
            for part, found in zip(parts, held, strict=True):
                part.history.set_back(found, time.monotonic())
        self.counts["reverted"] += 1

    def _clients(self, disk: str) -> bool:
        return bool(self.deployment.server.ask("disk", diskName=disk)["clients"])

    @contextlib.contextmanager
    def _away(self, disk: str) -> Iterator[Sequence[Part]]:
        """Have the disk's writers leave, and wait."""
        parts = [part for part in self._parts if part.disk == disk]
        with contextlib.ExitStack() as gates:
            for part in parts:
                gates.enter_context(part.gate)
                part.leave()
            yield parts

    # --- the end

    def _finish(self) -> None:
        """Compare all that is left, and snapshots of the quiet disks."""
        self.stage.stopping.set()
        for part in self._parts:
            part.join()
        self._snapshots.gather(wait=True)
        self._comparing.check_forks(self._random)
        while self._snapshots.kept:
            taken = self._snapshots.kept.pop()
            self._comparing.compare(taken, restored=False)
            self._snapshots.delete(taken)
        self.take_all()
        for disk in DISKS:
            self._snapshots.ask(disk)
        self._snapshots.gather(wait=True)
        for taken in self._snapshots.kept:
            self._comparing.compare(taken, restored=True)
        self._look()
        until(lambda: max(self._layer_counts()) <= 4, "the layers to merge", 2 * PATIENCE)

    def _layer_counts(self) -> Sequence[int]:
        if self._cluster is not None:
            return list(self._cluster.layer_counts().values())
        folders = self.deployment.data.glob("zones/*/disks/*")
        return [len(list(folder.iterdir())) for folder in folders]

    def _end(self) -> None:
        """What the operator's commands say must be good, too."""
        self.deployment.server.stop()
        for command in ("verify", "doctor"):
            data = [*self.deployment.settings, "--data", str(self.deployment.data)]
            words = [str(client_program("mooringd")), command, *data]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SoakError(f"mooringd {command}: {done.stdout}{done.stderr}")


def soak(folder: Path, seconds: float, seed: int, cluster: Cluster | None = None) -> Counter[str]:
    """Run in an empty folder whose path is short; returns what was done. Raises SoakError.

    With a cluster the disks are there.
    """
    made = Soak(folder, seed, cluster)
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
    parser.add_argument("--ceph", action="store_true", help="with the disks in a Ceph cluster")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=arguments.folder))
    print(f"seed {arguments.seed}, in {folder}", flush=True)
    cluster = Cluster(folder / "c") if arguments.ceph else None
    try:
        counts = soak(folder, 60 * arguments.minutes, arguments.seed, cluster)
    except BaseException:
        print(f"FAILED with seed {arguments.seed}; all is left in {folder}", flush=True)
        raise
    finally:
        if cluster is not None:
            cluster.stop()
    shutil.rmtree(folder)
    print("all well: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
