"""The room that a catalog's log keeps."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.catalog.room import LOG_BYTES, CatalogRoom
from mooring.host.reserve import Reserve
from mooring.host.room import MIB
from tests.mounts import file_system


def opened(path: Path) -> tuple[Catalog, CatalogRoom]:
    room = CatalogRoom(path, Reserve(path.with_name("reserve")))
    catalog = Catalog(f"sqlite:///{path}", room)
    catalog.migrate()
    return catalog, room


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.full
def test_the_log_keeps_its_blocks_from_one_server_to_the_next(tmp_path: Path) -> None:
    with file_system(tmp_path / "data", "xfs") as mount:
        path = mount / "catalog.sqlite"
        catalog, room = opened(path)
        room.keep()
        held = blocks(log_of(path))
        assert held >= min(LOG_BYTES, 4 * MIB)
        catalog.close()
        assert not log_of(path).exists()

        catalog, _ = opened(path)
        assert blocks(log_of(path)) >= held
        catalog.close()


def test_what_is_left_in_a_kept_log_is_not_read(tmp_path: Path) -> None:
    """Whoever changed the catalog meanwhile, without the log, is not overwritten by old pages."""
    path = tmp_path / "catalog.sqlite"
    catalog, _ = opened(path)
    catalog.close()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE of_others (one)")
        other.execute("INSERT INTO of_others VALUES (7)")
    other.close()
    kept = path.with_name("catalog.sqlite-wal-kept")
    assert kept.exists()

    catalog, _ = opened(path)
    catalog.close()

    with sqlite3.connect(path) as other:
        assert other.execute("SELECT one FROM of_others").fetchall() == [(7,)]
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    other.close()


def test_the_log_of_a_server_that_was_killed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog, _ = opened(path)
    catalog.close()
    assert path.with_name("catalog.sqlite-wal-kept").exists()
    dead = sqlite3.connect(path)
    dead.execute("PRAGMA journal_mode = WAL")
    dead.execute("CREATE TABLE of_others (one)")
    dead.commit()
    copy = tmp_path / "copy"
    copy.mkdir()
    for one in tmp_path.glob("catalog.sqlite*"):
        (copy / one.name).write_bytes(one.read_bytes())
    dead.close()

    catalog, _ = opened(copy / "catalog.sqlite")

    assert not (copy / "catalog.sqlite-wal-kept").exists()
    catalog.close()
    with sqlite3.connect(copy / "catalog.sqlite") as other:
        assert other.execute("SELECT count(*) FROM of_others").fetchall() == [(0,)]
    other.close()


def test_a_log_that_was_taken_over_is_free(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog, room = opened(path)
    log = log_of(path)
    assert 0 < room._used() <= log.stat().st_size
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(FULL)")
    assert room._used() == 0
    before = log.stat().st_size
    other.execute("CREATE TABLE small (one)")
    other.commit()
    assert 0 < room._used() < before == log.stat().st_size
    other.close()
    catalog.close()


def test_a_file_system_without_links_keeps_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    path = tmp_path / "catalog.sqlite"
    catalog, _ = opened(path)
    monkeypatch.setattr(os, "link", refuse)

    catalog.close()

    assert [one.name for one in tmp_path.iterdir()] == ["catalog.sqlite"]
    catalog, _ = opened(path)
    catalog.close()


def test_whoever_looks_at_the_log_ends_none_of_sqlites_locks(tmp_path: Path) -> None:
    """Without them another process takes itself for the first, and empties the index in use."""
    path = tmp_path / "catalog.sqlite"
    catalog, room = opened(path)
    with catalog.write(), catalog.read():
        held = locks_beside(path)
        assert held["catalog.sqlite-shm"]
        room.keep()
        assert locks_beside(path) == held
        room.prepare()
    room.keep()
    with sqlite3.connect(path) as other:
        other.execute("SELECT name FROM sqlite_schema").fetchall()
    other.close()
    assert locks_beside(path)["catalog.sqlite-shm"]
    catalog.close()


def locks_beside(path: Path) -> dict[str, int]:
    """How many locks this process has on each of the files of a database."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    ours = [int(line[5].rpartition(":")[2]) for line in lines if line[4] == str(os.getpid())]
    files = {file.stat().st_ino: file.name for file in path.parent.iterdir()}
    return {name: ours.count(inode) for inode, name in files.items() if inode in ours}
