"""What shells complete of mooringd's command lines."""

from __future__ import annotations

import pytest

from mooring.admin.main import main


def complete(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    line = ["mooringd", *words]
    assert main(["completion", "words", str(len(line) - 1), *line]) == 0
    return capsys.readouterr().out.split()


def test_commands_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    found = complete(capsys, "")

    assert {"serve", "stop", "keys", "--version"} <= set(found)
    assert "serve-snapshots" not in found


def test_what_was_meant_is_a_command_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("fense", "serve-diskz"):
        with pytest.raises(SystemExit):
            main([given])
    told = capsys.readouterr().err
    assert "did you mean `mooringd fence`?" in told
    assert "serve-disks" not in told


def test_actions_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete(capsys, "keys", "ro") == ["rotate"]
    assert complete(capsys, "keys", "create", "--r") == ["--role"]
    assert "--background" in complete(capsys, "serve", "--port", "0", "--b")


def test_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete(capsys, "keys", "create", "--role", "op") == ["operator"]
    assert sorted(complete(capsys, "completion", "")) == sorted(
        ["bash", "zsh", "fish", "-h", "--help"]
    )
    assert complete(capsys, "serve", "--config", "") == []
