"""`mooringd env`: what a shell and its clients get."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.admin.access.env import UNSET, past_proxies, variables
from mooring.admin.main import main
from mooring.config.settings import Settings
from mooring.service.credentials.keys import open_keys
from tests.clients.site import HOSTILE

NAMES = [
    "AWS_ENDPOINT_URL_LIGHTSAIL",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
]


def announce(data: Path, url: str = "http://127.0.0.1:1234") -> None:
    (data / "server.json").write_text(json.dumps({"url": url, "region": "us-east-2", "pid": 1}))
    open_keys(data / "credentials")


def test_everything_that_a_client_needs(tmp_path: Path) -> None:
    announce(tmp_path)

    found = variables(Settings(data=str(tmp_path)))

    (key,) = open_keys(tmp_path / "credentials").values()
    values = ["http://127.0.0.1:1234", "us-east-2", "us-east-2", key.id, key.secret, "false"]
    assert found == dict(zip(NAMES, values, strict=True))


def test_a_shell_understands_it_whatever_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = "http://[::1]:1/ '\"; echo $(id) `id` \\"
    announce(tmp_path, url=strange)

    assert main(["env", "--data", str(tmp_path)]) == 0
    script = capsys.readouterr().out + f'printf %s "${NAMES[0]}"'
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)

    assert done.stdout == strange


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_what_stood_in_the_shell_leads_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shell: str, requires: Callable[..., str]
) -> None:
    announce(tmp_path)
    assert main(["env", "--data", str(tmp_path)]) == 0
    script = capsys.readouterr().out

    # Twice: the second time must change nothing.
    done = subprocess.run(
        [requires(shell), "-euc", f"{script}\n{script}\nenv"],
        env={**HOSTILE, "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    assert not set(found) & set(UNSET)
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-2"
    assert found["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "false"


@pytest.mark.parametrize(
    ("url", "before", "after"),
    [
        ("http://127.0.0.1:1", {}, "127.0.0.1"),
        ("http://127.0.0.1:1", {"no_proxy": "a, b"}, "a,b,127.0.0.1"),
        ("http://127.0.0.1:1", {"NO_PROXY": "a", "no_proxy": "b,127.0.0.1"}, "b,127.0.0.1,a"),
        ("https://boat.example.org", {"NO_PROXY": ",,"}, "boat.example.org"),
        ("http://[::1]:1", {}, "::1,[::1]"),
    ],
)
def test_proxies_are_not_asked_for_the_server(url: str, before: dict[str, str], after: str) -> None:
    found = past_proxies(before, {"AWS_ENDPOINT_URL_LIGHTSAIL": url})

    assert found == {"NO_PROXY": after, "no_proxy": after}


def test_a_server_that_was_killed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        announce(tmp_path, url=url)
        assert main(["env", "--data", str(tmp_path)]) == 0
        assert capsys.readouterr().err == ""

    assert main(["env", "--data", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert told.startswith(f"mooringd: nobody listens at {url}: the server on ")
    assert told.endswith("start it again with `mooringd serve`\n")
    # One that shares a catalog is not started without its settings.
    (tmp_path / "mooring.toml").write_text("")
    assert main(["env", "--data", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert told.endswith(f"with `mooringd serve --config {tmp_path}/mooring.toml`\n")


def test_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--data", str(tmp_path)]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"mooringd: no server runs on {tmp_path}: start one with `mooringd serve`\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"url": "http://x"}', "\x00"])
def test_a_damaged_announcement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    announce(tmp_path)
    (tmp_path / "server.json").write_text(text)

    assert main(["env", "--data", str(tmp_path)]) == 2
    assert "server.json is damaged" in capsys.readouterr().err


def test_keys_that_are_gone_are_not_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The running server would not know them."""
    announce(tmp_path)
    (tmp_path / "credentials").unlink()

    assert main(["env", "--data", str(tmp_path)]) == 2
    assert "credentials is gone" in capsys.readouterr().err
    assert not (tmp_path / "credentials").exists()


def test_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mooring.toml"
    file.write_text("[listen]\nprot = 1\n")

    assert main(["env", "--config", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"mooringd: {file}: there is no setting listen.prot; did you mean listen.port?\n"
    )
