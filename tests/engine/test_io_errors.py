"""The storage fails now and then: told, nothing lost, next snapshot right."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.connection import Connection
from mooring.model.errors import EngineError, NbdError
from mooring.model.extents import Extent
from tests.engine.harness import MIB, QemuHarness, attached, content, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

SIZE = 16 * MIB
EIO = 5


class Faults:
    """Rules of blkdebug for layers that daemons open from now on, by file name's beginning."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rules: dict[str, list[dict[str, object]]] = defaultdict(list)
        call = Connection.call

        def faulty(
            connection: Connection,
            command: str,
            arguments: dict[str, Any] | None = None,
            timeout: float | None = None,
        ) -> Any:
            if command == "blockdev-add" and arguments and arguments["driver"] in ("raw", "qcow2"):
                file = arguments["file"]
                name = file["filename"].rpartition("/")[2]
                rules = [rule for start in self.rules if name.startswith(start)
                         for rule in self.rules[start]]  # fmt: skip
                if rules:
                    node = {"driver": "blkdebug", "image": file, "inject-error": rules}
                    arguments = {**arguments, "file": node}
            return call(connection, command, arguments, timeout)

        patch.setattr(Connection, "call", faulty)

    def add(self, start: str, kind: str, *, once: bool) -> None:
        """Let requests of a kind ("read", "write", "flush") fail; `once` only the first."""
        # Flushes that the client or a freeze asks for, not those between steps of one write.
        event = "flush_to_os" if kind == "flush" else "none"
        rule = {"event": event, "iotype": kind, "errno": EIO, "once": once}
        self.rules[start].append(rule)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


def check_next_snapshot(
    qemu: QemuHarness, export: Export, since: str, expected: bytes, changes: list[Extent]
) -> None:
    """Freeze, and compare all that there is."""
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})
    image = qemu.engine.open_point(export.disk_id, point)
    assert content(image) == expected
    assert list(image.changes(since)) == changes
    image.close()


def test_freeze_whose_flush_fails_leaves_no_point(qemu: QemuHarness, faults: Faults) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    first, failed = new_id(), new_id()
    faults.add("000002", "flush", once=True)
    qemu.engine.freeze({disk: first})
    client = qemu.client(instance, export)
    client.write(MIB, noise(1, MIB))

    with pytest.raises(EngineError, match=r"IO error|Input/output error"):
        qemu.engine.freeze({disk: failed})

    assert qemu.engine.points(disk) == [first]
    assert qemu.engine.health(disk).ok
    client.write(4 * MIB, noise(2, MIB))
    expected = bytearray(SIZE)
    expected[MIB : 2 * MIB], expected[4 * MIB : 5 * MIB] = noise(1, MIB), noise(2, MIB)
    changes = [Extent(MIB, MIB), Extent(4 * MIB, MIB)]
    check_next_snapshot(qemu, export, first, bytes(expected), changes)


def test_write_that_fails_is_told_to_the_client_alone(qemu: QemuHarness, faults: Faults) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    first = new_id()
    faults.add("000002", "write", once=True)
    qemu.engine.freeze({disk: first})
    client = qemu.client(instance, export)

    with pytest.raises(NbdError):
        client.write(MIB, noise(1, MIB))
    client.write(MIB, noise(2, MIB))
    client.flush()

    expected = bytearray(SIZE)
    expected[MIB : 2 * MIB] = noise(2, MIB)
    check_next_snapshot(qemu, export, first, bytes(expected), [Extent(MIB, MIB)])
    assert qemu.engine.health(disk).ok


def test_overlay_that_cannot_be_read_is_not_put_on_top(qemu: QemuHarness, faults: Faults) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    client.write(0, noise(1, MIB))
    first = new_id()
    qemu.engine.freeze({disk: first})
    client.write(MIB, noise(2, MIB))
    faults.add("000003", "read", once=False)

    with pytest.raises(EngineError, match="Input/output error"):
        qemu.engine.freeze({disk: new_id()})

    assert len(qemu.layer_names(disk)) == 3
    faults.rules.clear()
    expected = (noise(1, MIB) + noise(2, MIB)).ljust(SIZE, b"\0")
    check_next_snapshot(qemu, export, first, expected, [Extent(MIB, MIB)])


def test_one_failing_disk_keeps_all_from_being_frozen(qemu: QemuHarness, faults: Faults) -> None:
    instance, good = attached(qemu, SIZE, "good")
    bad = Export(new_id(), "bad")
    qemu.engine.create(bad.disk_id, SIZE)
    faults.add("000001", "flush", once=True)
    qemu.engine.attach(instance, bad)
    qemu.client(instance, good).write(0, noise(1, MIB))
    qemu.client(instance, bad).write(0, noise(2, MIB))

    with pytest.raises(EngineError, match=r"IO error|Input/output error"):
        qemu.engine.freeze({good.disk_id: new_id(), bad.disk_id: new_id()})

    assert qemu.engine.points(good.disk_id) == qemu.engine.points(bad.disk_id) == []
    points = {good.disk_id: new_id(), bad.disk_id: new_id()}
    qemu.engine.freeze(points)
    for seed, disk in ((1, good.disk_id), (2, bad.disk_id)):
        image = qemu.engine.open_point(disk, points[disk])
        assert image.read(0, MIB) == noise(seed, MIB)
        image.close()
