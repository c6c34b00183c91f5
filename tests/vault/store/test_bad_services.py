"""Vaults in a bucket whose service fails, hangs, loses answers, or lies."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import DamageError, StoreError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.store.retrying import Patience
from mooring.vault.vault import Vault
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.store.between import between
from tests.vault.store.buckets import Service, service

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as found:
        yield found


def test_a_service_that_fails_in_every_way(running: Service) -> None:
    """Busy, slow, connections lost before and after the work was done, answers cut short."""
    rng = random.Random(4)
    with between(running, ("busy", "slow", "gone", "lost", "cut")) as (handler, store):
        disks = {"a": Disk()}
        with Vault.create_or_open(store, ManualClock()) as vault:
            with vault.begin(info("a")) as writer:
                disks["a"].write(writer, 0, rng.randbytes(9 * 1024 * 1024))
                writer.commit()
            for name, parent in (("b", "a"), ("c", "b"), ("d", "c")):
                disks[name] = disks[parent].copy()
                with vault.begin(info(name), parent) as writer:
                    disks[name].write(writer, rng.randrange(2000), content(rng, 300))
                    writer.commit()
            check_all(vault, disks)
            assert vault.verify() == []
            for name in ("a", "b"):
                vault.delete(name)
                del disks[name]
            vault.collect()
            check_all(vault, disks)
            assert vault.verify() == []
        assert set(handler.met) == {"busy", "slow", "gone", "lost", "cut"}


def test_a_service_that_lies_about_bytes(running: Service) -> None:
    """What was changed on the way is refused, or read again; it never comes through."""
    with between(running, ()) as (handler, store):
        disk = Disk()
        with Vault.create_or_open(store, ManualClock()) as vault, vault.begin(info("a")) as writer:
            disk.write(writer, 0, content(random.Random(5), 3000))
            writer.commit()
        handler.faults, handler.often = ("flip",), 0.5
        right = refused = 0
        for _ in range(25):
            try:
                with (
                    Vault.create_or_open(store, ManualClock()) as vault,
                    vault.open("a") as reader,
                ):
                    disk.check(reader)
                right += 1
            except DamageError:
                refused += 1
        assert refused > 10
        handler.faults = ()
        with Vault.create_or_open(store, ManualClock()) as vault:
            check_all(vault, {"a": disk})


def test_a_service_that_hangs(running: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = Patience(request_seconds=0.3, retry_seconds=1)
    with between(running, (), hasty) as (handler, store):
        store.put("a", bytes(BLOCK_SIZE))
        handler.faults, handler.often = ("slow",), 1.0
        monkeypatch.setattr(time, "sleep", lambda _: threading.Event().wait(1))
        with pytest.raises(StoreError, match="could not read a in the vault"):
            store.get("a")
        handler.faults = ()
        with suppress(StoreError):
            store.get("a")
        assert store.get("a") == bytes(BLOCK_SIZE)
