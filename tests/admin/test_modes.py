"""What is secret stays so, whatever the umask and however open the directory is."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.admin.servers import blocks, settings_at, store

SNAPSHOT = "5c9d2a3e-1f00-4c00-8a00-000000000001"


def mooringd(umask: int, *words: str) -> list[str]:
    program = f"umask {umask:03o}; exec '{sys.executable}' -m mooring.admin.main " + '"$@"'
    return ["sh", "-c", program, "sh", *words]


def open_to_others(folder: Path) -> dict[str, str]:
    """Everything below the directory that others may use, but for what keeps others out itself."""
    found = {}
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place) / name for name in files)):
            mode = path.lstat().st_mode
            if path != folder and not stat.S_ISLNK(mode) and mode & 0o077:
                found[str(path.relative_to(folder))] = f"{mode & 0o777:04o}"
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that is there already, for all to look into."""
    path = tmp_path / "data"
    path.mkdir()
    path.chmod(0o755)
    lines = ["[engine]", 'kind = "memory"', "[listen]", "port = 0", "[regions.us-east-2]"]
    lines += ['zones = ["us-east-2a"]', f'vault = "{path / "vault"}"']
    (tmp_path / "mooring.toml").write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.full
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_server_keeps_its_files_to_itself(data: Path, umask: int) -> None:
    words = ("serve", "--config", str(data.parent / "mooring.toml"), "--data", str(data))
    server = subprocess.Popen(mooringd(umask, *words), stderr=subprocess.DEVNULL)
    try:
        while not (data / "server.json").exists():
            assert server.poll() is None
            threading.Event().wait(0.05)
        told = json.loads((data / "server.json").read_text())
        assert told["pid"] == server.pid
        assert open_to_others(data) == {}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert open_to_others(data) == {}


@pytest.mark.full
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_commands_keep_theirs_to_the_server(data: Path, umask: int) -> None:
    before = os.umask(0o077)
    try:
        store(settings_at(data, data / "vault"), SNAPSHOT, blocks(1, 4))
    finally:
        os.umask(before)
    for words in (["recover"], ["verify"], ["collect"], ["usage"], ["grants", "list"]):
        config = ["--config", str(data.parent / "mooring.toml"), "--data", str(data)]
        ended = subprocess.run(mooringd(umask, *words, *config), capture_output=True, check=False)
        assert ended.returncode in {0, 1}, ended.stderr
        assert open_to_others(data) == {}, words
