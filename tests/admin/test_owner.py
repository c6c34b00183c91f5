"""Root's commands on another user's data directory leave it that user's."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import end_all

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run commands as somebody else"),
]

UID = GID = 54321
SETTINGS = """
[listen]
port = 0
[engine]
kind = "memory"
"""


def mooringd(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mooring.admin.main", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of the user 54321, who reaches it."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    folder = tmp_path / "data"
    (tmp_path / "settings").write_text(SETTINGS)
    folder.mkdir(mode=0o700)
    os.chown(folder, UID, GID)
    serve_shortly(folder)
    return folder


def serve_shortly(data: Path) -> None:
    """Start a server as root, and stop it as soon as it answers."""
    server = subprocess.Popen(
        [sys.executable, "-m", "mooring.admin.main", "serve", "--data", str(data), "--config",
         str(data.parent / "settings")],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        lines = []
        for line in server.stderr:
            lines.append(line)
            if "for aws, boto3" in line:
                break
        else:
            pytest.fail("".join(lines))
        assert os.stat(f"/proc/{server.pid}").st_uid == UID  # noqa: PTH116
    finally:
        server.terminate()
        server.communicate(timeout=30)
        end_all(data)


def foreign(data: Path) -> dict[str, str]:
    """What in there does not belong to the user, or can be read by others, with its mode."""
    found = {}
    for path in [data, *data.rglob("*")]:
        status = path.lstat()
        if (status.st_uid, status.st_gid) != (UID, GID) or status.st_mode & 0o077:
            found[str(path)] = stat.filemode(status.st_mode)
    return found


COMMANDS = (
    ["keys", "create", "ops", "--role", "operator"],
    ["keys", "list"],
    ["verify"],
    ["collect"],
    ["usage"],
    ["recover"],
    ["doctor"],
)


def test_commands_of_root_leave_everything_to_the_owner(data: Path) -> None:
    assert foreign(data) == {}
    for words in COMMANDS:
        done = mooringd(*words, "--data", data, "--config", data.parent / "settings")

        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1), (words, done.stderr)
        assert foreign(data) == {}, words
    assert "[ops]" in (data / "credentials").read_text()
    serve_shortly(data)


def test_where_the_owner_may_not_write_root_is_told_so(data: Path, tmp_path: Path) -> None:
    place = tmp_path / "roots"
    place.mkdir(mode=0o700)

    done = mooringd("keys", "create", "ops", "--role", "operator", "--data", data,
                    "--output", place / "key")  # fmt: skip

    assert done.returncode == 2
    assert f"{place}" in done.stderr
    assert "root acts as" in done.stderr
    assert "[ops]" not in (data / "credentials").read_text()
    shutil.rmtree(place)
