"""Where no endpoint is configured, the server of this host is found, and never Amazon's."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.recording_server import RecordingServer

KEYS = "[default]\naws_access_key_id = AKIALOCAL\naws_secret_access_key = local\n"


def describe(directory: Path, url: str, region: str = "us-east-2", keys: str = KEYS) -> None:
    directory.mkdir(parents=True)
    (directory / "server.json").write_text(json.dumps({"url": url, "region": region}))
    (directory / "credentials").write_text(keys)


@pytest.fixture
def running(home: Path, server: RecordingServer) -> Path:
    """The data directory of a server that runs."""
    directory = home / ".local" / "share" / "mooring"
    describe(directory, server.url)
    return directory


@pytest.mark.usefixtures("running")
def test_a_server_on_this_host_needs_no_configuration(bare: Run, server: RecordingServer) -> None:
    assert bare("get-disks").status == 0
    assert server.requests[-1].scope == "AKIALOCAL/us-east-2/lightsail/aws4_request"


@pytest.mark.parametrize("variable", ["MOORING_DATA", "XDG_DATA_HOME"])
def test_its_directory_can_be_elsewhere(
    variable: str,
    bare: Run,
    server: RecordingServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    describe(home / "elsewhere" / "mooring", server.url)
    place = home / "elsewhere"
    monkeypatch.setenv(variable, str(place / "mooring" if variable == "MOORING_DATA" else place))

    assert bare("get-disks").status == 0
    assert server.requests


@pytest.mark.usefixtures("running")
def test_keys_and_region_for_amazon_do_not_stand_in_the_way(
    bare: Run, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAMAZON")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    bare("get-disks")

    assert server.requests[-1].scope == "AKIALOCAL/us-east-2/lightsail/aws4_request"


@pytest.mark.usefixtures("running")
def test_options_win(bare: Run, server: RecordingServer, home: Path) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(KEYS.replace("default", "me").replace("LOCAL", "ME"))
    bare("get-disks", "--region", "us-west-2", "--profile", "me")

    assert server.requests[-1].scope == "AKIAME/us-west-2/lightsail/aws4_request"


def test_without_a_server_it_says_what_to_type(bare: Run) -> None:
    result = bare("get-disks", "--region", "us-east-1")

    assert result.status == 255
    assert "mooringd serve" in result.stderr
    assert "--endpoint-url" in result.stderr
    assert "server.json" in result.stderr


def test_a_server_that_does_not_run_is_said_so_at_once(bare: Run, running: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    (running / "server.json").write_text(json.dumps({"url": url, "region": "us-east-2"}))
    result = bare("get-disks")

    assert result.stderr == (
        f'\nCould not connect to the endpoint URL: "{url}/"\n'
        "The server on this host is not running. Start it: mooringd serve\n"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "http://x"}'])
def test_a_damaged_description_is_said_so(text: str, bare: Run, running: Path) -> None:
    (running / "server.json").write_text(text)
    result = bare("get-disks")

    assert result.status == 255
    assert f"{running / 'server.json'} does not describe a server" in result.stderr


def test_a_server_without_keys_falls_back_to_the_usual_ones(
    bare: Run, server: RecordingServer, running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (running / "credentials").unlink()
    assert "Unable to locate credentials" in bare("get-disks").stderr

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUSUAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    bare("get-disks")
    assert server.requests[-1].scope == "AKIAUSUAL/us-east-2/lightsail/aws4_request"
