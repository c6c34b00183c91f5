"""A real guest: snapshots of its file system in use, read by another boot."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mooring.model.extents import GIB
from tests.e2e.crew import Asked
from tests.e2e.deployment import Deployment
from tests.e2e.guest import Guest, require_guest

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

SNAPSHOTS = 3
BATCH = 30
SIZE_GB = 16
"""The size that a disk of 8 GB gets."""

BEFORE = 10
"""Of a batch of files, how many are durable before the snapshot is asked for."""

# One file for each number, with the number over and over; durable when its number is printed.
WRITE = (
    "i={first}; while [ $i -le {last} ]; do yes $i | head -c 9000 > /mnt/$i && "
    "sync /mnt/$i && echo $i || exit 1; i=$((i+1)); done"
)
COMPARE = (
    "i=1; while [ $i -le {last} ]; do yes $i | head -c 9000 | cmp - /mnt/$i || exit 1; "
    "i=$((i+1)); done"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot, the last file durable before the request, and the last begun before the end."""

    asked: Asked
    durable: int
    last: int


@pytest.fixture(autouse=True)
def guests() -> None:
    require_guest()


def test_snapshots_of_a_guest_at_work(deployment: Deployment) -> None:
    deployment.start()
    uri = deployment.used_disk()
    with Guest(deployment.folder / "g", {"data": uri}) as guest:
        guest.run("mkfs.ext4 -q -E nodiscard /dev/vda 1G && mount /dev/vda /mnt")
        taken = [take(deployment, guest, number) for number in range(SNAPSHOTS)]
        # No more than what was durable is in the disk when the guest loses its power.
        guest.kill()
    names = [one.asked.name for one in taken]
    assert set(deployment.ended(*names)) == {"completed"}

    with deployment.restored(*names) as uris:
        disks = dict(zip(names, uris, strict=True))
        with Guest(deployment.folder / "r", {**disks, "data": uri}) as reader:
            for place, one in enumerate(taken):
                check(reader, f"/dev/vd{chr(ord('a') + place)}", one)
            last = taken[-1]
            check(
                reader,
                f"/dev/vd{chr(ord('a') + SNAPSHOTS)}",
                Taken(last.asked, last.last, last.last),
            )


def test_the_disk_of_a_guest_at_work_grows(deployment: Deployment) -> None:
    deployment.start()
    uri = deployment.used_disk()
    with Guest(deployment.folder / "g", {"data": uri}) as guest:
        guest.run("mkfs.ext4 -q -E nodiscard /dev/vda && mount /dev/vda /mnt")
        before = take(deployment, guest, 0)
        guest.begin(WRITE.format(first=BATCH + 1, last=2 * BATCH))
        guest.read_line()
        deployment.grow("data", SIZE_GB)
        assert guest.result().split()[-1:] == [str(2 * BATCH)], "a write has failed"
        guest.resize(0, SIZE_GB * GIB)
        assert int(guest.run("cat /sys/class/block/vda/size")) * 512 == SIZE_GB * GIB

        guest.run("resize2fs /dev/vda")
        after = take(deployment, guest, 2)
        (line,) = [line for line in guest.run("df -k").splitlines() if line.endswith(" /mnt")]
        assert int(line.split()[1]) * 1024 > 0.9 * SIZE_GB * GIB
        assert "I/O error" not in guest.run("dmesg")
        guest.kill()
    names = [before.asked.name, after.asked.name]
    assert deployment.ended(*names) == ["completed", "completed"]

    with (
        deployment.restored(*names, size_gb=SIZE_GB) as uris,
        Guest(deployment.folder / "r", dict(zip(names, uris, strict=True))) as reader,
    ):
        check(reader, "/dev/vda", before)
        check(reader, "/dev/vdb", after)


def take(deployment: Deployment, guest: Guest, number: int) -> Taken:
    """Take a snapshot while the guest writes files, and wait until it has written them all."""
    first, last = number * BATCH + 1, (number + 1) * BATCH
    guest.begin(WRITE.format(first=first, last=last))
    durable = 0
    while durable < first + BEFORE - 1:
        durable = int(guest.read_line())
    asked = deployment.snapshot(f"s{number}")
    assert guest.result().split()[-1:] == [str(last)]
    return Taken(asked, durable, last)


def check(guest: Guest, device: str, taken: Taken) -> None:
    """The journal replays, all that was durable is whole, nothing later is there, all is clean."""
    guest.run(f"mount {device} /mnt")
    assert f"({device.rpartition('/')[2]}): recovery complete" in guest.run("dmesg")
    guest.run(COMPARE.format(last=taken.durable))
    there = {int(name) for name in guest.run("ls /mnt").split() if name.isdigit()}
    assert there >= set(range(1, taken.durable + 1))
    assert max(there) <= taken.last
    guest.run("umount /mnt")
    guest.run(f"e2fsck -fn {device}")
