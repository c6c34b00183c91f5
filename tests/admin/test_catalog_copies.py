"""Copies of the catalog: made, bounded, told when they fail, put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.admin.recovery.restore_catalog import restore_catalog
from mooring.catalog.copies import CatalogCopies
from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.engine.zones import Engines
from mooring.jobs.keep_catalog import CatalogKeeper, Describer
from mooring.model.automatic.rhythm import DAY_MS
from mooring.model.clock import ManualClock
from mooring.model.errors import ConfigurationError, ServerRunningError
from mooring.model.paths import Paths
from tests.admin.servers import ZONE, Server, running, settings_at


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "data", tmp_path / "vault")


def names(server: Server) -> list[str]:
    return [one["name"] for one in server.call("GetDisks")["disks"]]


def disk(server: Server, name: str) -> None:
    server.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)
    server.settle()


def copies_of(settings: Settings) -> list[Path]:
    return sorted((settings.data_directory / "catalog-copies").glob("*"))


def test_a_copy_is_put_back(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with running(settings) as server:
        disk(server, "kept")
        copy = server.mooring.catalog_keeper.look()
        assert copy is not None
        assert copy.stat().st_mode & 0o777 == 0o600
        disk(server, "later")
        with pytest.raises(ServerRunningError):
            restore_catalog(settings, copy)
    assert restore_catalog(settings, None) == 0
    assert str(copy) in capsys.readouterr().out
    assert restore_catalog(settings, copy) == 0
    assert "catalog.sqlite.replaced-" in capsys.readouterr().out
    with running(settings) as server:
        assert names(server) == ["kept"]
    (replaced,) = settings.data_directory.glob("catalog.sqlite.replaced-*Z")
    with sqlite3.connect(replaced) as old:
        assert len(old.execute("SELECT 1 FROM disks").fetchall()) == 2
    old.close()


def test_what_is_no_copy_leaves_the_catalog(settings: Settings, tmp_path: Path) -> None:
    with running(settings) as server:
        disk(server, "kept")
    wrong = tmp_path / "wrong.sqlite"
    wrong.write_bytes(b"not a database" * 100)
    for one in (wrong, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="The catalog was left as it was"):
            restore_catalog(settings, one)
        assert not one.with_name("missing").exists()
    with running(settings) as server:
        assert names(server) == ["kept"]
    assert main(["restore-catalog", "--data", settings.data, "--copy", str(wrong)]) == 2


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "catalog.sqlite"
    opened = Catalog(f"sqlite:///{path}")
    opened.migrate()
    yield path
    opened.close()


def test_their_number_is_bounded(tmp_path: Path, catalog: Path) -> None:
    clock = ManualClock()
    copies = CatalogCopies(tmp_path / "copies", 3, clock)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "catalog.writing").write_text("left by a crash")
    (tmp_path / "copies" / "mine.txt").write_text("somebody's")
    for _ in range(5):
        clock.advance(3600)
        copies.make(catalog)
        copies.make(catalog, before=85)
    found = copies.found()
    assert sorted(one.before or 0 for one in found) == [0, 0, 0, 85, 85, 85]
    assert copies.newest_ms() == found[-1].made_ms == clock.now_ms() // 1000 * 1000
    # The six, and what was somebody else's.
    assert len(list((tmp_path / "copies").iterdir())) == 7


def test_a_clock_that_was_ahead_leaves_copies_as_they_are(tmp_path: Path, catalog: Path) -> None:
    clock = ManualClock()
    copies = CatalogCopies(tmp_path / "copies", 3, clock)
    with closing(Catalog(f"sqlite:///{catalog}")) as opened:
        keeper = CatalogKeeper(Describer(opened, Engines()), copies, catalog, 24, clock)
        for _ in range(4):
            clock.advance(25 * 3600)
            keeper.look()
        nightly = copies.found()
        assert len(nightly) == 3

        # A host comes up with a wrong clock, which is set right when the network is there.
        clock.milliseconds += 30 * DAY_MS
        keeper.look()
        clock.milliseconds -= 30 * DAY_MS
        for _ in range(5):
            clock.advance(2)
            keeper.look()
        assert copies.found()[:2] == nightly[1:]

        clock.advance(25 * 3600)
        made = keeper.look()
        # The one that is ahead has gone, and not what was just made.
        assert [one.path for one in copies.found()] == [*(one.path for one in nightly[1:]), made]


def test_a_copy_is_tried_again_after_the_clock_was_set_back(tmp_path: Path, catalog: Path) -> None:
    clock = ManualClock()
    blocked = tmp_path / "copies"
    blocked.write_text("no directory")
    with closing(Catalog(f"sqlite:///{catalog}")) as opened:
        copies = CatalogCopies(blocked, 3, clock)
        keeper = CatalogKeeper(Describer(opened, Engines()), copies, catalog, 24, clock)
        assert keeper.look() is None
        assert keeper.problem
        blocked.unlink()
        clock.advance(60)
        assert keeper.look() is None
        clock.milliseconds -= 30 * DAY_MS
        clock.advance(600)
        assert keeper.look() is not None
        assert not keeper.problem


def test_a_copy_is_made_before_a_migration(settings: Settings) -> None:
    with running(settings) as server:
        disk(server, "kept")
    path = Paths(settings.data_directory).catalog
    with sqlite3.connect(path) as old:
        (last,) = old.execute("SELECT max(number) FROM migrations").fetchone()
        old.execute("CREATE TABLE stands_for_an_older_catalog (x)")
        old.execute("DELETE FROM migrations WHERE number = 1")
    old.close()
    before = copies_of(settings)
    # It cannot be applied twice, but the copy is there by then.
    with pytest.raises(Exception, match="already exists"), running(settings):
        pass
    (copy,) = set(copies_of(settings)) - set(before)
    assert copy.name.endswith(f"-before-{last:04d}.sqlite")
    with sqlite3.connect(copy) as copied:
        assert copied.execute("SELECT name FROM disks").fetchall() == [("kept",)]
    copied.close()


def test_a_failing_copy_is_told(settings: Settings, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    copies = replace(settings.catalog_copies, directory=str(blocked))
    with running(replace(settings, catalog_copies=copies)) as server:
        disk(server, "kept")
        assert server.mooring.catalog_keeper.look() is None
        assert "Not a directory" in server.mooring.catalog_keeper.problem
