"""`mooringd serve --background` and `mooringd stop`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.full


def mooringd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mooring.admin.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def data(run_dir: Path) -> Iterator[Path]:
    yield run_dir / "data"
    mooringd("stop", "--data", str(run_dir / "data"))


def start(data: Path) -> subprocess.CompletedProcess[str]:
    return mooringd("serve", "--background", "--port", "0", "--data", str(data))


def test_it_serves_when_the_command_returns(data: Path) -> None:
    done = start(data)

    assert done.returncode == 0, done.stderr
    url = json.loads((data / "server.json").read_text())["url"]
    assert f"at {url}" in done.stdout
    env = mooringd("env", "--data", str(data))
    assert env.returncode == 0
    assert env.stderr == ""
    assert (data / "server.log").stat().st_mode & 0o077 == 0


def test_what_it_says_to_type_can_be_pasted(run_dir: Path) -> None:
    """Also in a directory with blanks and what else a shell takes for something."""
    data = run_dir / "my 'data' $HOME"
    said = start(data).stdout
    told = ("for aws, bot", "to stop it: ")
    commands = [line[16:] for line in said.splitlines() if line[:12] in told]
    assert len(commands) == 2
    program = f'mooringd() {{ "{sys.executable}" -m mooring.admin.main "$@"; }}'
    script = "\n".join([program, "set -e", *commands[:1], "echo $AWS_REGION", *commands[1:]])

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("us-east-2\nThe server has stopped")


def test_stopped_it_has_ended_when_the_command_returns(data: Path) -> None:
    start(data)

    done = mooringd("stop", "--data", str(data))

    assert done.returncode == 0, done.stderr
    assert not (data / "server.json").exists()
    again = mooringd("stop", "--data", str(data))
    assert again.returncode == 2
    assert again.stderr == f"mooringd: no server runs on {data}\n"


def test_whatever_keeps_it_from_serving_is_told(data: Path) -> None:
    start(data)

    second = start(data)

    assert second.returncode == 2
    assert "another server (process" in second.stderr
    assert second.stderr.count("\n") == 1


def test_a_large_log_is_put_aside_at_the_start(data: Path) -> None:
    data.mkdir()
    with (data / "server.log").open("wb") as log:
        log.truncate(64 * 1024 * 1024)

    start(data)

    assert (data / "server.log.1").stat().st_size == 64 * 1024 * 1024
    assert b"Mooring serves" in (data / "server.log").read_bytes()


def test_a_directory_without_a_server_has_none_to_stop(tmp_path: Path) -> None:
    assert mooringd("stop", "--data", str(tmp_path)).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_commands_read_the_settings_of_the_server(data: Path, run_dir: Path) -> None:
    """Without them a sound vault is called away, and `accept` would make another."""
    config = run_dir / "mooring.toml"
    vault = run_dir / "elsewhere"
    config.write_text(f'[regions.us-east-2]\nzones = ["us-east-2a"]\nvault = "{vault}"\n')
    words = ("--background", "--port", "0", "--data", str(data), "--config", str(config))
    assert mooringd("serve", *words).returncode == 0

    verified = mooringd("verify", "--data", str(data))
    doctor = mooringd("doctor", "--data", str(data))
    accepted = mooringd("accept", "--region", "us-east-2", "--data", str(data))

    assert verified.returncode == 0, verified.stderr
    assert str(vault) in doctor.stdout
    assert "is away" not in doctor.stdout
    assert f"in {vault} is now its vault" in accepted.stdout
    assert not (data / "vaults" / "us-east-2").exists()
