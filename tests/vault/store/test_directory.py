"""What the directory store does with files, locks, modes and full disks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.model.errors import DamageError, DiskFullError, StoreError, VaultAwayError
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.folder import TEMPORARY

FAR_FUTURE_MS = 10**14

HOLD_AN_UPLOAD = """
import sys, time
from pathlib import Path
from mooring.vault.store.directory import DirectoryStore
upload = DirectoryStore(Path(sys.argv[1])).upload()
upload.write(b"abc")
print("ready", flush=True)
time.sleep(60)
"""


def files(store: DirectoryStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_nobody_else_can_read(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "deep" / "vault")
    store.put("roots/a", b"x")
    upload = store.upload()
    upload.write(b"x")
    upload.commit("segments/aa/b")

    assert store.root.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in files(store)] == [0o600, 0o600]


def test_what_a_killed_process_left_is_swept_and_no_more(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    running = store.upload()
    running.write(b"x")
    command = [sys.executable, "-c", HOLD_AN_UPLOAD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert store.sweep(FAR_FUTURE_MS) == 0
        process.send_signal(signal.SIGKILL)
    assert len(files(store)) == 2

    assert store.sweep(0) == 0
    assert store.sweep(FAR_FUTURE_MS) == 1
    running.commit("a")
    assert store.get("a") == b"x"
    assert [path.name for path in files(store)] == ["a"]


def test_temporary_files_are_no_objects(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    upload = store.upload()

    assert list(store.names("")) == []
    assert len(list((tmp_path / TEMPORARY).iterdir())) == 1
    upload.abort()
    assert files(store) == []


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DamageError, match="pipe is not a vault's file"):
        DirectoryStore(tmp_path).get("pipe")


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "vault").write_text("x")

    with pytest.raises(StoreError, match=r"could not open the vault .*/vault"):
        DirectoryStore(tmp_path / "vault")


@pytest.fixture
def small_disk(run_dir: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", run_dir], check=True)
    yield run_dir
    subprocess.run(["umount", run_dir], check=True)


@pytest.mark.full
def test_a_full_disk_is_named_and_nothing_is_left(small_disk: Path) -> None:
    store = DirectoryStore(small_disk / "vault")
    store.put("a", bytes(1024 * 1024))

    with pytest.raises(DiskFullError, match=r"vault.* is full: free some space"):
        store.put("b", bytes(2 * 1024 * 1024))
    upload = store.upload()
    upload.write(bytes(65536))
    with pytest.raises(DiskFullError):
        upload.write(bytes(4 * 1024 * 1024))
    upload.abort()

    assert [path.name for path in files(store)] == ["a"]
    store.put("b", bytes(512 * 1024))
    store.delete("a")


@pytest.mark.full
def test_holes_need_no_room_for_a_file(small_disk: Path) -> None:
    DirectoryStore(small_disk).put("a", bytes(1024 * 1024))
    used = os.statvfs(small_disk).f_files - os.statvfs(small_disk).f_ffree
    subprocess.run(["mount", "-o", f"remount,nr_inodes={used}", small_disk], check=True)
    store = DirectoryStore(small_disk)
    with pytest.raises(DiskFullError):
        store.put("b", b"")

    assert store.can_punch
    store.punch("a", [(0, 512 * 1024)])

    assert store.allocated("a") == 512 * 1024


@pytest.mark.full
def test_a_read_only_file_system_can_be_read(small_disk: Path) -> None:
    store = DirectoryStore(small_disk)
    store.put("a", b"x")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    again = DirectoryStore(small_disk)

    assert again.get("a") == b"x"
    with pytest.raises(StoreError, match="can only be read: mount it for writing"):
        again.put("b", b"x")
    with pytest.raises(StoreError, match="can only be read"):
        again.delete("a")


def held(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "vault")
    store.put("vault", b"mine")
    store.put("roots/a", b"x")
    store.hold_to("vault", b"mine")
    return store


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "another"])
def test_nothing_is_written_where_the_store_is_not(tmp_path: Path, left: str) -> None:
    store = held(tmp_path)
    begun = store.upload()
    begun.write(b"x")
    store.root.rename(tmp_path / "away")
    if left != "nothing":
        store.root.mkdir()
    if left == "another":
        DirectoryStore(store.root).put("vault", b"theirs")
    before = sorted(tmp_path.rglob("*"))

    for change in (
        lambda: store.put("b", b"x"),
        lambda: store.put("b", b"x", replace=False),
        store.upload,
        lambda: begun.commit("segments/aa/b"),
        lambda: store.rename("roots/a", "deleted/a"),
        lambda: store.delete("roots/a"),
        lambda: store.barrier(["roots/a"]),
        store.check,
    ):
        with pytest.raises(StoreError):
            change()
    with pytest.raises(VaultAwayError):
        store.check()
    found = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert [path for path in found if path.is_file()] == []

    if left == "another":
        (store.root / "vault").unlink()
        (store.root / TEMPORARY).rmdir()
    if left != "nothing":
        store.root.rmdir()
    (tmp_path / "away").rename(store.root)
    assert store.put("b", b"x", replace=False)


@pytest.mark.parametrize("renames", [True, False])
def test_without_hard_links_one_of_several_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool
) -> None:
    def refuse(*_paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    if not renames:
        monkeypatch.setattr("mooring.files._rename_no_replace", lambda *_: errno.EINVAL)
    stores = [DirectoryStore(tmp_path) for _ in range(8)]
    for number in range(20):
        with ThreadPoolExecutor(len(stores)) as threads:
            done = threads.map(
                lambda one, name: one[1].put(name, b"%d" % one[0], replace=False),
                enumerate(stores),
                [f"roots/{number}"] * len(stores),
            )
            won = [index for index, first in enumerate(done) if first]
        assert len(won) == 1
        assert stores[0].get(f"roots/{number}") == b"%d" % won[0]
    assert not list((tmp_path / TEMPORARY).iterdir())
