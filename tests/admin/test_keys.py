"""The file of access keys: its mode, and what damages it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.model.access import Access, Role
from mooring.model.errors import ConfigurationError
from mooring.service.credentials.keys import Key, new_key, open_keys, read_keys, write_keys


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
    path.with_name("credentials.new").write_text("[defau")

    assert len(open_keys(path)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["credentials"]


def test_a_key_never_shows_its_secret() -> None:
    assert "geheim" not in repr(Key("AKIA1", "geheim"))
    assert "geheim" not in f"{Key('AKIA1', 'geheim')}"


# --- what a section says besides the key


def test_a_section_says_who_and_what_and_how_long(path: Path) -> None:
    more = """\
mooring_user = backup
mooring_role = operator
mooring_tags = team=db, env=a b, empty=
mooring_expires = 2026-12-01T12:00:00+01:00
"""
    write(path, entry("default", "AKIA1", "one") + entry("b-1", "AKIA2", "two") + more)

    first, second = open_keys(path).values()

    assert first.access == Access("default", Role.ADMINISTRATOR)
    assert first.expires_ms is None
    tags = {"team": "db", "env": "a b", "empty": ""}
    assert second.access == Access("backup", Role.OPERATOR, tags)
    assert second.profile == "b-1"
    assert second.expires_ms == 1_796_122_800_000
    assert second.ended(1_796_122_800_000)
    assert not second.ended(1_796_122_799_999)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("mooring_role = root", "mooring_role must be one of read-only, operator, administrator"),
        ("mooring_role =", "mooring_role must be one of"),
        ("mooring_rol = read-only", "there is no mooring_rol; known: mooring_user"),
        ("role = read-only", "there is no role; known"),
        ("mooring_tags =", "must have 1 to 128 characters"),
        ("mooring_tags = team=db,,", "must have 1 to 128 characters"),
        ("mooring_tags = aws:team=db", "reserved"),
        ("mooring_expires = tomorrow", "must be a time such as"),
        ("mooring_user = a b", "cannot be the name of a user"),
        ("mooring_user =", "cannot be the name of a user"),
    ],
)
def test_what_cannot_be_understood_never_gives_more(path: Path, line: str, why: str) -> None:
    write(path, entry("ci", "AKIA1", "geheim") + line + "\n")

    with pytest.raises(ConfigurationError, match=why) as caught:
        open_keys(path)

    assert str(caught.value).startswith(f"{path}, section [ci]: ")
    assert "geheim" not in str(caught.value)


def test_two_sections_with_one_key_are_refused(path: Path) -> None:
    write(path, entry("one", "AKIA1", "geheim") + entry("two", "AKIA1", "geheim"))

    with pytest.raises(ConfigurationError, match="two sections with the same key"):
        open_keys(path)


def test_what_was_written_is_read_again(path: Path) -> None:
    keys = [
        new_key("default", Access("default")),
        new_key("x", Access("y", Role.READ_ONLY, {"a b": "=c:d", "e": ""})),
        replace(new_key("z", Access("z", Role.OPERATOR)), expires_ms=1_796_122_800_000),
    ]

    write_keys(path, keys)

    assert [(key, key.secret) for key in read_keys(path).values()] == [
        (key, key.secret) for key in keys
    ]
    assert path.stat().st_mode & 0o777 == 0o600
