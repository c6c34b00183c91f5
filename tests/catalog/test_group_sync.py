"""Commits of SQLite are durable when a transaction ends, many with one fsync."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.model.errors import CatalogError
from tests.catalog.values import disk

RealSync = os.fsync


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    yield catalog
    catalog.close()


class Syncs:
    """Stands between the catalog and the system's fsync; `go` lets it through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[str] = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.error: OSError | None = None
        self.go.set()
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.files.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self.entered.set()
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error
        RealSync(descriptor)


@pytest.fixture
def syncs(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


def add(catalog: Catalog, name: str) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk(name))


def names(catalog: Catalog) -> list[str]:
    with catalog.read() as transaction:
        return [one.name for one in transaction.disks.all()]


def test_a_change_is_synced_when_it_ends(catalog: Catalog, syncs: Syncs) -> None:
    add(catalog, "d1")

    assert syncs.files == ["catalog.sqlite-wal"]


def test_what_need_not_be_durable_waits_only_for_what_it_has_seen(
    catalog: Catalog, syncs: Syncs
) -> None:
    def add_lightly(name: str) -> None:
        with catalog.write(durable=False) as transaction:
            transaction.disks.add(disk(name))

    add_lightly("d1")
    assert names(catalog) == ["d1"]
    assert syncs.files == []
    with ThreadPoolExecutor() as pool:
        syncs.go.clear()
        adding = pool.submit(add, catalog, "d2")
        assert syncs.entered.wait(30)
        seeing = pool.submit(add_lightly, "d3")
        assert not seeing.done()
        syncs.go.set()
        adding.result(30)
        seeing.result(30)
    assert syncs.files == ["catalog.sqlite-wal"]


def test_who_reads_waits_for_no_commit_that_came_later(catalog: Catalog, syncs: Syncs) -> None:
    add(catalog, "d1")
    with ThreadPoolExecutor() as pool:
        with catalog.read() as transaction:
            syncs.go.clear()
            syncs.entered.clear()
            adding = pool.submit(add, catalog, "d2")
            assert syncs.entered.wait(30)  # it is committed
            assert [one.name for one in transaction.disks.all()] == ["d1"]
        assert not adding.done()
        syncs.go.set()
        adding.result(30)
    assert names(catalog) == ["d1", "d2"]


def test_what_changed_nothing_needs_no_sync(catalog: Catalog, syncs: Syncs) -> None:
    with catalog.write() as transaction:
        transaction.disks.all()
        transaction.jobs.confirm("nothing")
    names(catalog)

    assert syncs.files == []


def test_a_new_log_gets_its_name_synced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    catalog = Catalog(f"sqlite:///{tmp_path / 'new.sqlite'}")
    catalog.migrate()
    catalog.close()

    assert syncs.files == ["new.sqlite-wal", tmp_path.name]


def test_nobody_is_told_what_is_not_durable(catalog: Catalog, syncs: Syncs) -> None:
    """Neither who wrote it, nor who reads it, nor who was refused because of it."""
    syncs.go.clear()
    with ThreadPoolExecutor(4) as pool:
        writer = pool.submit(add, catalog, "d1")
        assert syncs.entered.wait(30)
        reader = pool.submit(names, catalog)
        clash = pool.submit(add, catalog, "d1")
        threading.Event().wait(0.2)
        assert not writer.done()
        assert not reader.done()
        assert not clash.done()
        syncs.go.set()
        writer.result(30)
        assert reader.result(30) == ["d1"]
        assert clash.exception(30) is not None


def test_those_who_wait_share_a_sync(catalog: Catalog, syncs: Syncs) -> None:
    syncs.go.clear()
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(add, catalog, "first")
        assert syncs.entered.wait(30)
        others = [pool.submit(add, catalog, f"other-{number}") for number in range(15)]
        sync = catalog._sync
        assert sync is not None
        while sync._committed < sync._synced + 16:
            threading.Event().wait(0.005)
        syncs.go.set()
        for future in (first, *others):
            future.result(30)

    assert len(names(catalog)) == 16
    assert 2 <= len(syncs.files) <= 4


def test_after_a_failed_sync_nothing_is_promised_any_more(catalog: Catalog, syncs: Syncs) -> None:
    add(catalog, "before")
    syncs.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(CatalogError, match=r"Input/output error.*restart the server"):
        add(catalog, "lost")
    # That a later one succeeds tells nothing of the one that failed.
    syncs.error = None

    with pytest.raises(CatalogError):
        add(catalog, "after")
    with pytest.raises(CatalogError):
        names(catalog)


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.ENOSPC]
)
def test_a_log_that_cannot_be_opened_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A shortage passes: nothing written was lost with it."""
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.migrate()
    catalog.close()
    real_open = os.open

    def fail(path: os.PathLike[str] | str, *rest: int) -> int:
        if str(path).endswith("-wal"):
            raise OSError(number, os.strerror(number))
        return real_open(path, *rest)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(CatalogError, match=f"{os.strerror(number)}.*for now"):
        add(catalog, "d1")
    problem = catalog.problem()
    assert problem is not None
    assert "nothing can be recorded for now" in problem
    monkeypatch.setattr(os, "open", real_open)

    assert catalog.problem() is None
    add(catalog, "d2")
    assert names(catalog) == ["d1", "d2"]
    catalog.close()


def test_a_commit_needs_no_descriptor_of_its_own(catalog: Catalog) -> None:
    add(catalog, "d1")
    assert catalog.problem() is None  # which leaves a connection to read with
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        add(catalog, "d2")
        assert catalog.problem() is None
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert names(catalog) == ["d1", "d2"]


def test_a_failed_sync_is_told_to_monitors_for_good(catalog: Catalog, syncs: Syncs) -> None:
    assert catalog.problem() is None
    syncs.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(CatalogError):
        add(catalog, "lost")
    syncs.error = None

    assert "restart the server" in (catalog.problem() or "")


def test_commits_survive_the_end_of_the_log(catalog: Catalog, syncs: Syncs, tmp_path: Path) -> None:
    """The last connection that closes brings all into the database and removes the log."""
    add(catalog, "d1")
    catalog.close()
    assert not (tmp_path / "catalog.sqlite-wal").exists()
    add(catalog, "d2")

    assert names(catalog) == ["d1", "d2"]
