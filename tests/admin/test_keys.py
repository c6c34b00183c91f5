"""The file of access keys: its mode, and what damages it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.errors import ConfigurationError
from mooring.service.keys import Key, open_keys


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where the keys will be; nothing hides what other users could see."""
    before = os.umask(0)
    yield tmp_path / "credentials"
    os.umask(before)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def entry(profile: str, key: str, secret: str) -> str:
    return f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


def test_the_first_start_makes_a_key_that_only_its_owner_reads(path: Path) -> None:
    keys = open_keys(path)

    ((key_id, key),) = keys.items()
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key_id)
    assert key.id == key_id
    assert len(key.secret) >= 40
    assert [file.name for file in path.parent.iterdir()] == ["credentials"]


def test_the_next_start_finds_it_again(path: Path) -> None:
    first, second = open_keys(path), open_keys(path)

    assert {one.id: one.secret for one in first.values()} == {
        one.id: one.secret for one in second.values()
    }


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    keys = [next(iter(open_keys(tmp_path / str(number)).values())) for number in range(20)]

    assert len({one.id for one in keys}) == len({one.secret for one in keys}) == 20


def test_there_may_be_several(path: Path) -> None:
    write(path, entry("default", "AKIA1", "one%(x)s") + entry("ci", "AKIA2", "two=;#"))

    assert {key.id: key.secret for key in open_keys(path).values()} == {
        "AKIA1": "one%(x)s",
        "AKIA2": "two=;#",
    }


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o777, 0o610])
def test_a_file_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    write(path, entry("default", "AKIA1", "geheim"), mode)

    with pytest.raises(ConfigurationError, match=rf"mode {mode:04o}.*chmod 600 {path}"):
        open_keys(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[default]\n",
        "geheim",
        "[default]\naws_access_key_id = AKIA1\n",
        "[default]\naws_secret_access_key = geheim\n",
        entry("default", "", "geheim"),
        entry("default", "AKIA1", ""),
        entry("default", "AKIA1", "geheim") + entry("default", "AKIA2", "geheim"),
        entry("default", "AKIA1", "geheim") + "[other]\n",
        "[DEFAULT]\naws_access_key_id = AKIA1\naws_secret_access_key = geheim\n",
    ],
)
def test_a_damaged_file_is_refused_and_stays_as_it_is(path: Path, text: str) -> None:
    write(path, text)

    with pytest.raises(ConfigurationError, match=str(path)) as caught:
        open_keys(path)

    assert "geheim" not in str(caught.value)
    assert path.read_text() == text


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    path.chmod(0o600)

    with pytest.raises(ConfigurationError, match="is not a credentials file"):
        open_keys(path)


def test_what_a_killed_start_left_is_in_no_ones_way(path: Path) -> None:
    """A process with the same number may have been killed while it wrote."""
    path.with_name(f"credentials.{os.getpid()}.tmp").write_text("[defau")

    assert len(open_keys(path)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["credentials"]


def test_a_key_never_shows_its_secret() -> None:
    assert "geheim" not in repr(Key("AKIA1", "geheim"))
    assert "geheim" not in f"{Key('AKIA1', 'geheim')}"
