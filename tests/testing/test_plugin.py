"""The plugin for pytest, as a project that has it installed uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

EXAMPLE = CHECKOUT / "examples" / "backup"


@pytest.fixture(autouse=True)
def temporary(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers have their directories."""
    monkeypatch.setenv("TMPDIR", str(run_dir))
    # What this run tells its own workers.
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    return run_dir


def _pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def _project(folder: Path, tests: str, settings: str = "") -> Path:
    project = folder / "project"
    project.mkdir()
    (project / "pytest.ini").write_text(f"[pytest]\n{settings}\n")
    (project / "test_it.py").write_text(textwrap.dedent(tests))
    return project


def test_the_example_in_parallel(temporary: Path, tmp_path: Path) -> None:
    project = tmp_path / "example"
    project.mkdir()
    for name in ("backup.py", "test_backup.py"):
        (project / name).write_text((EXAMPLE / name).read_text())
    (project / "pytest.ini").write_text("[pytest]\n")
    done = _pytest(project, "-n", "2")
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    assert not list(temporary.glob("mooring-dev-*"))


def test_the_sample_of_the_page(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs" / "testing.md").read_text()
    sample = page.partition("```python\n")[2].partition("```")[0]
    project = _project(tmp_path, sample)

    done = _pytest(project)

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_two_runs_at_once(temporary: Path, tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        """
        import time

        def test_mine_alone(lightsail):
            for number in range(20):
                lightsail.create_disk(
                    diskName=f"disk-{number}", sizeInGb=8, availabilityZone="us-east-1a"
                )
                time.sleep(0.01)
            assert len(lightsail.get_disks()["disks"]) == 20
        """,
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    runs = [
        subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [run.communicate(timeout=240)[0] for run in runs]
    assert all("1 passed" in one for one in said), said


def test_beside_moto(tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        """
        import boto3
        from moto import mock_aws

        @mock_aws
        def test_both(mooring_server):
            lightsail = boto3.client("lightsail", region_name="us-east-1")
            lightsail.create_disk(diskName="data", sizeInGb=8, availabilityZone="us-east-1a")
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="a-bucket")
            assert len(lightsail.get_disks()["disks"]) == 1
        """,
    )
    done = _pytest(project)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_each_test_begins_with_nothing_and_clients_of_the_code_find_the_server(
    tmp_path: Path,
) -> None:
    project = _project(
        tmp_path,
        """
        import os

        import boto3
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_it(mooring_server, turn):
            client = boto3.client("lightsail", region_name="eu-west-1")
            assert client.get_disks()["disks"] == []
            client.create_disk(diskName="data", sizeInGb=8, availabilityZone="eu-west-1a")
            assert "AWS_PROFILE" not in os.environ
            assert client.meta.endpoint_url == mooring_server.url

        def test_nothing_is_left_in_the_environment():
            assert os.environ["AWS_PROFILE"] == "production"
            assert "AWS_ENDPOINT_URL_LIGHTSAIL" not in os.environ
        """,
    )
    done = _pytest(project, AWS_PROFILE="production", HTTP_PROXY="http://127.0.0.1:9")
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_a_run_that_does_not_use_it_starts_nothing(temporary: Path, tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        """
        import sys

        def test_it():
            assert "mooring.testing.plugin" in sys.modules
            loaded = {name for name in sys.modules if name.split(".")[0] in ("mooring", "boto3")}
            assert loaded == {"mooring", "mooring.testing", "mooring.testing.plugin"}
        """,
    )
    done = _pytest(project)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert not list(temporary.iterdir())


def test_a_run_that_is_killed_leaves_no_server(temporary: Path, tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        """
        import os, pathlib, signal

        def test_it(mooring_server):
            pathlib.Path("pid").write_text(str(mooring_server._process.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert _pytest(project).returncode == -9
    server = os.pidfd_open(int((project / "pid").read_text()))
    try:
        import select

        assert select.select([server], [], [], 60)[0], "the server runs on"
    finally:
        os.close(server)
    assert not list(temporary.glob("mooring-dev-*"))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    project = _project(
        tmp_path,
        """
        def test_it(mooring_server):
            pass
        """,
        "mooring_engine = punch-cards",
    )
    done = _pytest(project)
    assert "the server did not start" in done.stdout
    assert "punch-cards" in done.stdout
