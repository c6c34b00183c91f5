"""A Ceph cluster that is away, is full, or refuses."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.engine.qemu.stores.rbd.state import Health
from mooring.model.clock import SystemClock
from mooring.model.errors import ClusterAwayError, DiskFullError, EngineError, NbdError
from tests.ceph_cluster import CephCluster, new_host
from tests.engine.harness import MIB, Client, QemuHarness, attached, content, eventually, new_id

pytestmark = pytest.mark.full
SIZE = 16 * MIB
BLOCK = 4096

Open = Callable[..., RbdStore]


@pytest.fixture
def opened(ceph: CephCluster, run_dir: Path) -> Iterator[Open]:
    made: list[RbdStore] = []

    def make(**options: object) -> RbdStore:
        made.append(RbdStore(ceph.place(**options), new_host(), SystemClock()))
        folder = run_dir / str(len(made))
        folder.mkdir()
        made[-1].start(folder, folder)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"namespace": "elsewhere"}, "client.mooring may not do that in rbd:mooring/elsewhere"),
        ({"pool": "nothing"}, "has no rbd:nothing/home"),
        ({"user": "nobody"}, "client.nobody may not|has no|cannot|keyring"),
        ({"conf": "/nowhere/ceph.conf"}, "/nowhere/ceph.conf is missing"),
        ({"python": "/bin/false"}, "the process that speaks to the Ceph cluster .* ended"),
        ({"python": "/nowhere/python3"}, "/nowhere/python3 cannot be started"),
    ],
)
def test_a_wrong_place_is_told_at_the_start(
    opened: Open, options: dict[str, object], told: str
) -> None:
    with pytest.raises(EngineError, match=told):
        opened(answer_seconds=3.0, **options)


def test_a_cluster_that_is_away_is_told_and_comes_back(ceph: CephCluster, opened: Open) -> None:
    store = opened(answer_seconds=2.0)
    folder = store.root / "disks" / new_id()
    store.make_folder(folder)
    ceph.kill_osd()
    try:
        with pytest.raises(ClusterAwayError, match="does not answer"):
            store.write_text(folder / "text", "away")
    finally:
        ceph.start_osd()

    def works() -> bool:
        try:
            store.write_text(folder / "text", "back")
        except ClusterAwayError:
            return False
        return True

    eventually(works, 30)
    assert store.read_text(folder / "text") == b"back"


def test_the_end_waits_for_no_cluster_that_is_away(ceph: CephCluster, opened: Open) -> None:
    """Its threads have asked something, and would wait for the answer for half a minute."""
    store = opened()
    store.watch(lambda: None)
    ceph.kill_osd()
    try:
        time.sleep(3.0)
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 5
    finally:
        ceph.start_osd()


def test_a_missing_name_space_is_named(ceph: CephCluster, opened: Open) -> None:
    """Names are kept without it, images are not."""
    store = opened(namespace="nowhere", user="admin", conf=str(ceph.folder / "admin.conf"))
    folder = store.root / "disks" / new_id()
    store.make_folder(folder)
    with pytest.raises(EngineError, match="`rbd namespace create mooring/nowhere` makes it"):
        store.create(folder / "layer", MIB)


def test_a_full_cluster_is_told_before_its_disks_wait(ceph: CephCluster, opened: Open) -> None:
    store = opened(answer_seconds=3.0)
    disk = new_id()
    folder = store.root / "disks" / disk
    store.make_folder(folder)
    for name in ("one", "two"):
        with closing(store.create(folder / name, 8 * MIB)) as layer:
            layer.write(0, bytes(range(256)) * 4096)
    store.begin_use(disk)
    # The library makes its list of what is being removed.
    store.create(store.root / "layer", MIB).close()
    store.remove(store.root / "layer")
    assert store.settle()
    try:
        # An OSD says the worst of what it is: each ratio is set when the one before was met.
        ceph.run("ceph", "osd", "set-nearfull-ratio", "0.00001")
        eventually(lambda: "1 nearfull osd" in fresh(store).nearly_full, 90)
        store.check_room(store.root, MIB)
        ceph.run("ceph", "osd", "set-backfillfull-ratio", "0.00002")
        ceph.run("ceph", "osd", "set-full-ratio", "0.00003")
        eventually(lambda: bool(fresh(store).full), 90)
        with pytest.raises(DiskFullError, match=r"Ceph cluster of rbd:mooring/home: 1 full osd"):
            check_room_anew(store)
        # What makes room goes on: disks are detached and deleted.
        store.end_use(disk)
        store.begin_use(disk)
        store.end_use(disk)
        store.remove(folder / "one")
        moved = folder.with_name(new_id())
        store.rename(folder, moved)
        store.remove_folder(moved)
        eventually(lambda: not any(disk in image for image in store.names_in.unnamed()), 20)
    finally:
        ceph.run("ceph", "osd", "set-full-ratio", "0.95")
        ceph.run("ceph", "osd", "set-backfillfull-ratio", "0.9")
        ceph.run("ceph", "osd", "set-nearfull-ratio", "0.85")
        # An OSD that is started again while the map says otherwise would not get up.
        eventually(lambda: not fresh(store).full and not fresh(store).nearly_full, 90)
    assert not [image for image in ceph.images() if disk in image]
    store.create(store.root / "layer", MIB).close()
    store.remove(store.root / "layer")


def fresh(store: RbdStore) -> Health:
    store._state._known = None
    return store._state.health()


def check_room_anew(store: RbdStore) -> None:
    store._state._known = None
    store.check_room(store.root, MIB)


def test_the_process_that_speaks_to_the_cluster_is_started_again(opened: Open) -> None:
    store = opened()
    store.make_folder(store.root / "disks" / new_id())
    pid = store.client.pid()
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    folder = store.root / "disks" / new_id()
    store.make_folder(folder)
    assert store.exists(folder)
    assert store.client.pid() != pid


def test_what_one_process_had_open_is_nothing_that_the_next_has(opened: Open) -> None:
    """Each numbers what it opens: one number may not mean two images."""
    store = opened()
    folder = store.root / "disks" / new_id()
    store.make_folder(folder)
    data = bytes(range(256)) * 16
    with closing(store.create(folder / "one", MIB)) as one:
        one.write(0, data)
        pid = store.client.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with closing(store.create(folder / "two", MIB)) as two:
            two.write(0, data)

            with pytest.raises(EngineError, match="opened by a process that has ended"):
                one.write(BLOCK, data)

            assert two.read(0, 2 * BLOCK) == data + bytes(BLOCK)
    with closing(store.open(folder / "one")) as one:
        assert one.read(0, 2 * BLOCK) == data + bytes(BLOCK)


def test_it_ends_with_the_server(opened: Open) -> None:
    store = opened()
    process = store.client._process
    assert process is not None
    assert process.stdin is not None

    process.stdin.close()  # as the kernel does

    assert process.wait(10) == 0


class Writer:
    """Writes numbered blocks, each once, until it is stopped."""

    def __init__(self, client: Client) -> None:
        self.acknowledged = 0
        self.errors: list[Exception] = []
        self.longest = 0.0
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.002) and self.acknowledged < SIZE // BLOCK:
            begun = time.monotonic()
            try:
                self._client.write(self.acknowledged * BLOCK, block(self.acknowledged))
            except (NbdError, OSError) as error:
                self.errors.append(error)
                return
            self.longest = max(self.longest, time.monotonic() - begun)
            self.acknowledged += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def block(number: int) -> bytes:
    return (number + 1).to_bytes(8, "little") * (BLOCK // 8)


def held(whole: bytes) -> int:
    """How many of the writer's blocks it holds, the first ones, and nothing else."""
    count = 0
    while whole[count * BLOCK : (count + 1) * BLOCK] == block(count):
        count += 1
    assert not any(whole[count * BLOCK :])
    return count


def test_an_osd_killed_under_a_writer(ceph: CephCluster, qemu_on_rbd: QemuHarness) -> None:
    """Writes wait until it is back; no error, and every point holds what was acknowledged."""
    harness = qemu_on_rbd
    instance, export = attached(harness, SIZE)
    writer = Writer(harness.client(instance, export))
    points: list[tuple[str, int, int]] = []

    def freeze() -> None:
        point, before = new_id(), writer.acknowledged
        harness.engine.freeze({export.disk_id: point})
        # One may be under way.
        points.append((point, before, writer.acknowledged + 1))

    try:
        time.sleep(0.3)
        freeze()
        ceph.kill_osd()
        time.sleep(1.0)
        ceph.start_osd()
        eventually(lambda: writer.acknowledged > points[0][2] + 20, 60)
        freeze()
    finally:
        writer.stop()

    assert not writer.errors
    assert writer.longest > 0.9
    for point, least, most in points:
        image = harness.engine.open_point(export.disk_id, point)
        assert least <= held(content(image)) <= most
        image.close()
    assert held(harness.client(instance, export).read(0, SIZE)) == writer.acknowledged


def test_a_daemon_killed_in_mid_merge_again_and_again(qemu_on_rbd: QemuHarness) -> None:
    """bench.ceph_kills does it a hundred times, with much more to merge."""
    harness, model = qemu_on_rbd, bytearray(SIZE)
    instance, export = attached(harness, SIZE)
    for turn in range(4):
        client = connected(harness, instance, export)
        point = new_id()
        for number in range(40):
            at = (turn * 977 + number * 131) % (SIZE // BLOCK) * BLOCK
            model[at : at + BLOCK] = block(turn * 1000 + number)
            client.write(at, block(turn * 1000 + number))
        client.flush()
        expected = bytes(model)
        harness.engine.freeze({export.disk_id: point})
        image = harness.engine.open_point(export.disk_id, point)
        assert content(image) == expected
        image.close()
        harness.engine.release(export.disk_id, point, stored=True)
        time.sleep(0.01 * turn)
        harness.kill_daemon(instance)
    assert connected(harness, instance, export).read(0, SIZE) == bytes(model)
    assert harness.engine.settle()
    eventually(lambda: harness.engine.health(export.disk_id).layers == 2, 30)
    assert connected(harness, instance, export).read(0, SIZE) == bytes(model)


def connected(harness: QemuHarness, instance: str, export: Export) -> Client:
    """A client of the disk, once its daemon is there again."""
    found: list[Client] = []

    def connects() -> bool:
        try:
            client = harness.client(instance, export)
            client.read(0, BLOCK)
        except (NbdError, OSError):
            return False
        found.append(client)
        return True

    eventually(connects, 30)
    return found[0]
