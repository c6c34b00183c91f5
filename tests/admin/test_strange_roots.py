"""What is no root is named, and keeps nobody from the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mooring.admin.vaults.usage import usage
from mooring.admin.vaults.verify import verify
from mooring.config.settings import Settings
from tests.admin.servers import blocks, settings_at, store

GOOD, BAD = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_at(tmp_path / "data", tmp_path / "vault")
    store(settings, GOOD, blocks(1, 4), name="good")
    return settings


def pipe(path: Path) -> None:
    os.mkfifo(path)


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        (BAD, pipe, "is not a vault's file: remove it"),
        (BAD, link, "is not a vault's file: remove it"),
        (BAD, garbage, "is damaged"),
        ("e\x1b[31m", garbage, "roots/'e\\x1b[31m' of"),
        (".nfs0001", garbage, ""),
    ],
)
def test_the_rest_is_verified_and_counted(
    settings: Settings, name: str, make: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    make(Path(settings.regions["us-east-2"].vault) / "roots" / name)

    code = verify(settings)
    said = capsys.readouterr().out

    assert code == bool(told)
    assert told in said
    assert "all data read back" in said

    assert usage(settings) == bool(told)
    said, complained = capsys.readouterr()
    assert "good" in said
    assert told in complained
