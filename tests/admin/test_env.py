"""`mooringd env`: what a shell and its clients get."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mooring.admin.env import variables
from mooring.admin.main import main
from mooring.config.settings import Settings
from mooring.service.keys import open_keys

NAMES = [
    "AWS_ENDPOINT_URL_LIGHTSAIL",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
]


def announce(data: Path, url: str = "http://127.0.0.1:1234") -> None:
    (data / "server.json").write_text(json.dumps({"url": url, "region": "us-east-2", "pid": 1}))
    open_keys(data / "credentials")


def test_everything_that_a_client_needs(tmp_path: Path) -> None:
    announce(tmp_path)

    found = variables(Settings(data=str(tmp_path)))

    (key,) = open_keys(tmp_path / "credentials").values()
    values = ["http://127.0.0.1:1234", "us-east-2", key.id, key.secret]
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
