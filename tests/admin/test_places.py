"""Directories that cannot be used are told in one line, by every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.config.settings import EngineSettings, Settings
from mooring.model.errors import ConfigurationError, ServerRunningError
from mooring.wiring.build_server import build_server
from mooring.wiring.data_directory import make_data_directory, make_run_directory, run_place
from tests.admin.servers import running, settings_at

COMMANDS = ["doctor", "verify", "usage", "collect", "recover", "keys list", "env"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_data_directory_that_is_none(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([*command.split(), "--data", str(tmp_path / "file")]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("mooringd: ")
    assert str(tmp_path / "file") in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.full
def test_a_server_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        done = subprocess.run(
            [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0", "--data", data],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        told = f"{tmp_path / 'file'} is not a directory. Name another place with --data"
        assert line.startswith(f"mooringd: the data directory {data} cannot be made: {told}")


@pytest.mark.full
@pytest.mark.parametrize("command", ["serve --port 0", *COMMANDS])
def test_somebody_elses_data_directory(command: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs to become another user")
    data = tmp_path / "data"
    (data / "vaults" / "us-east-2").mkdir(parents=True)
    data.chmod(0o700)
    # The capability to pass by permissions goes with the user; what is imported has been read.
    script = (
        "import os, sys, mooring.admin.main\n"
        "from mooring.admin.access import env, keys\n"
        "from mooring.admin.health import doctor\n"
        "from mooring.admin.recovery import recover\n"
        "from mooring.admin.serving import serve\n"
        "from mooring.admin.vaults import collect, usage, verify\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(mooring.admin.main.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2), done
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Run it as the server's user" in done.stderr


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/proc/x/y", "/proc belongs to the kernel, which allows no directories in it"),
        ("/dev/null/x", "/dev/null is not a directory"),
        ("link/x", "link is a dangling link"),
    ],
)
def test_what_is_in_the_way_of_a_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("nowhere")
    words = rf"{place} cannot be made: .*{why}\. Name another place .*"
    with pytest.raises(ConfigurationError, match=f"data directory {words}--data"):
        make_data_directory(Path(place))
    with pytest.raises(ConfigurationError, match=rf"directory of sockets \S*{words}engine.run"):
        make_run_directory(Settings(engine=EngineSettings(run=place)), Path("data"))
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("place", ["/dev/null/x", "link", "link/x", "file", "file/x"])
def test_doctor_sees_what_is_in_the_way(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("nowhere")
    Path("file").touch()
    assert main(["doctor", "--data", place]) == 2
    told = capsys.readouterr()
    assert "is not a directory" in told.err or "is a dangling link" in told.err
    assert "not there yet" not in told.out


@pytest.mark.full
@pytest.mark.parametrize("more", [16, 48, 96])
def test_an_address_space_that_is_too_small(more: int, tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from mooring.admin.main import main\n"
        "from mooring.admin.serving import serve\n"
        # It ends the process by itself where it finds no memory when it is loaded.
        "import numpy\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0])\n"
        f"most = pages * resource.getpagesize() + ({more} << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "serve", "--port", "0", "--data", tmp_path / "data"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "raise its limits (ulimit -v, " in done.stderr.splitlines()[-1]


def test_a_run_directory_named_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daemons are found by its whole path."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(engine=EngineSettings(run="r"))
    assert run_place(settings, tmp_path / "data") == tmp_path / "r"


def test_a_short_run_directory_goes_with_its_server(tmp_path: Path) -> None:
    data = tmp_path / ("a-long-name" * 10)
    settings = settings_at(data, data / "vault")
    run = run_place(settings, data)
    assert run.parent != data
    for _ in range(2):
        with running(settings):
            assert run.is_dir()
            # Another one leaves it alone.
            with pytest.raises(ServerRunningError):
                build_server(settings)
            assert run.is_dir()
        assert not run.exists()


@pytest.mark.full
@pytest.mark.requires("qemu-storage-daemon")
def test_a_short_run_directory_goes_when_nothing_uses_it(tmp_path: Path) -> None:
    data = tmp_path / ("a-long-name" * 10)
    settings = Settings(data=str(data))
    run = run_place(settings, data)
    program = [sys.executable, "-m", "mooring.admin.main"]
    for _ in range(2):
        serve = [*program, "serve", "--background", "--port", "0", "--data", str(data)]
        subprocess.run(serve, check=True, capture_output=True)
        assert run.is_dir()
        subprocess.run([*program, "stop", "--data", str(data)], check=True, capture_output=True)
        assert not run.exists()
