"""Snapshots of a file system in use: they replay, are clean, and miss no file."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo import file_writer
from mooring.admin.demo.file_writer import is_whole, read_journal
from mooring.admin.demo.filesystem import PROGRAMS, device_of, mounted, run, why_not
from tests.e2e.crew import Asked
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until

pytestmark = [
    pytest.mark.full,
    pytest.mark.requires(*PROGRAMS, "dumpe2fs"),
]

SNAPSHOTS = 5
FILES_BETWEEN = 40


def test_snapshots_of_ext4_in_use(deployment: Deployment) -> None:
    if reason := why_not():
        pytest.skip(reason)
    deployment.start()
    uri = deployment.used_disk()
    journal = deployment.folder / "files"
    taken = []

    with device_of(uri, deployment.folder / "live") as device:
        run("mkfs.ext4", "-q", "-E", "nodiscard", device, "1G")
        with (
            mounted(device, deployment.folder / "mount") as root,
            writing_files(root, journal) as writer,
        ):
            for number in range(SNAPSHOTS):
                wait_for_files(writer, journal, len(read_journal(journal)[1]) + FILES_BETWEEN)
                taken.append(deployment.snapshot(f"s{number}"))
            wait_for_files(writer, journal, len(read_journal(journal)[1]) + 1)
        assert run("e2fsck", "-fn", device)

    assert set(deployment.ended(*[asked.name for asked in taken])) == {"completed"}
    with deployment.restored(*[asked.name for asked in taken]) as uris:
        for asked, restored in zip(taken, uris, strict=True):
            check_restored(deployment, restored, asked, journal)


@contextlib.contextmanager
def writing_files(root: Path, journal: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes files, and saw no error in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", file_writer.__name__, str(root), str(journal)]
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
    assert process.returncode == 0, "the writer of files had an error"


def wait_for_files(writer: subprocess.Popen[bytes], journal: Path, count: int) -> None:
    """Wait until so many files are durable."""

    def reached() -> bool:
        assert writer.poll() is None, "the writer of files has ended"
        return len(read_journal(journal)[1]) >= count

    until(reached, f"{count} files")


def check_restored(deployment: Deployment, uri: str, asked: Asked, journal: Path) -> None:
    """The journal replays, every file synchronised before the request is whole, all is clean."""
    begun, durable = read_journal(journal)
    before = {number for number, moment in durable.items() if moment < asked.requested}
    after = {number for number, moment in begun.items() if moment > asked.replied}
    assert len(before) >= FILES_BETWEEN
    with device_of(uri, deployment.folder / f"{asked.name}-device") as device:
        assert "needs_recovery" in run("dumpe2fs", "-h", device), "there is nothing to replay"
        with mounted(device, deployment.folder / f"{asked.name}-mount") as root:
            wrong = [number for number in before if not is_whole(root, number)]
            assert not wrong, f"{asked.name}: files {wrong[:10]} are missing or damaged"
            early = [number for number in after if (root / file_writer.name(number)).exists()]
            assert not early, f"{asked.name}: files {early[:10]} were begun after the reply"
        run("e2fsck", "-fn", device)
