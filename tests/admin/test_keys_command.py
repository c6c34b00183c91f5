"""`mooringd keys`: users come, change, rotate their keys, and go."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.admin.access.keys import create
from mooring.admin.main import main
from mooring.config.load import load
from mooring.model.access import Access, Role
from mooring.model.clock import SystemClock
from mooring.service.credentials.keys import Key, open_keys, read_keys

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    open_keys(tmp_path / "credentials")
    return tmp_path


@pytest.fixture
def run(data: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of `mooringd keys`, which never show a secret."""
        code = main(["keys", *words, "--data", str(data)])
        out, err = capsys.readouterr()
        for key in keys(data):
            assert key.secret not in out + err
        return code, out, err

    return run


def keys(data: Path) -> list[Key]:
    return list(read_keys(data / "credentials").values())


def of(data: Path, user: str) -> list[Key]:
    return [key for key in keys(data) if key.access.user == user]


def test_a_new_user_gets_a_role_tags_and_a_file(data: Path, run: Run, tmp_path: Path) -> None:
    output = tmp_path / "backup.credentials"
    words = ["--role", "operator", "--tag", "team=db", "--tag", "env=a b", "--output", str(output)]

    code, out, _ = run("create", "backup", *words)

    (key,) = of(data, "backup")
    assert code == 0
    assert key.access == Access("backup", Role.OPERATOR, {"team": "db", "env": "a b"})
    assert key.id in out
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    (alone,) = read_keys(output).values()
    assert (alone.id, alone.secret, alone.profile) == (key.id, key.secret, "default")
    assert stat.S_IMODE((data / "credentials").stat().st_mode) == 0o600


def test_the_list(data: Path, run: Run) -> None:
    run("create", "eve", "--role", "read-only", "--tag", "team=db")
    run("rotate", "eve", "--overlap-hours", "1")

    code, out, _ = run("list")

    head, *rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert code == 0
    assert head == ["USER", "KEY", "ROLE", "TAGS", "ENDS"]
    assert [row[0] for row in rows] == ["default", "eve", "eve"]
    assert rows[1][2:] == ["read-only", "team=db", "never"]
    assert rows[2][4].startswith("20")


def test_rotation_overlaps(data: Path, run: Run) -> None:
    (old,) = of(data, "default")
    now = SystemClock().now_ms()

    run("rotate", "default", "--overlap-hours", "2")

    new, ending = of(data, "default")
    assert (new.profile, new.expires_ms, new.access) == ("default", None, old.access)
    assert new.id != old.id
    assert (ending.id, ending.secret) == (old.id, old.secret)
    assert ending.expires_ms is not None
    assert abs(ending.expires_ms - now - 2 * 3600 * 1000) < 60_000
    assert keys(data)[0] == new


def test_an_old_key_never_gets_longer_and_ends_at_once_if_asked(data: Path, run: Run) -> None:
    (oldest,) = of(data, "default")
    run("rotate", "default", "--overlap-hours", "1")
    first_end = of(data, "default")[1].expires_ms
    run("rotate", "default", "--overlap-hours", "100")
    ends = {key.id: key.expires_ms for key in of(data, "default")}
    assert len(ends) == 3
    assert ends[oldest.id] == first_end

    run("rotate", "default", "--overlap-hours", "0")

    (only,) = of(data, "default")
    assert only.expires_ms is None


def test_changes_keep_the_key(data: Path, run: Run) -> None:
    run("create", "ci", "--role", "operator", "--tag", "a=b")
    (before,) = of(data, "ci")

    run("change", "ci", "--role", "read-only")
    assert of(data, "ci")[0].access == Access("ci", Role.READ_ONLY, {"a": "b"})
    run("change", "ci", "--tag", "c=d")
    assert of(data, "ci")[0].access == Access("ci", Role.READ_ONLY, {"c": "d"})
    run("change", "ci", "--no-tags")

    (after,) = of(data, "ci")
    assert after.access == Access("ci", Role.READ_ONLY)
    assert (after.id, after.secret) == (before.id, before.secret)


def test_deletion_of_a_user_and_of_one_key(data: Path, run: Run) -> None:
    run("create", "ci", "--role", "operator")
    run("rotate", "ci")
    new, old = of(data, "ci")

    run("delete", "ci", "--key-id", old.id)
    assert of(data, "ci") == [new]
    run("delete", "ci")
    assert of(data, "ci") == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["delete", "default"], "this would leave no administrator who is not bound to tags"),
        (["change", "default", "--role", "operator"], "this would leave no administrator"),
        (["change", "default", "--tag", "a=b"], "this would leave no administrator"),
        (["create", "default", "--role", "operator"], "the user default has a key"),
        (["create", "a b", "--role", "operator"], "cannot be the name of a user"),
        (["create", "DEFAULT", "--role", "operator"], "cannot be the name of a user"),
        (["create", "ci", "--role", "operator", "--tag", "aws:x=y"], "reserved"),
        (["create", "ci", "--role", "operator", "--tag", "team"], "KEY=VALUE"),
        (["create", "ci", "--role", "operator", "--tag", "a,b=c"], "may contain only"),
        (["rotate", "nobody"], "there is no user nobody; known: default"),
        (["rotate", "default", "--overlap-hours", "-1"], "--overlap-hours must be"),
        (["delete", "default", "--key-id", "AKIANO"], "the user default has no key AKIANO"),
        (["create", "ci", "--role", "operator", "--output", "/"], "/ exists"),
    ],
)
def test_what_is_refused_changes_nothing(data: Path, run: Run, words: list[str], why: str) -> None:
    before = (data / "credentials").read_bytes()

    code, _, err = run(*words)

    assert code == 2
    assert why in err
    assert (data / "credentials").read_bytes() == before


def test_without_a_data_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--data", str(tmp_path)]) == 2
    assert "the first `mooringd serve` makes it" in capsys.readouterr().err


def test_two_at_once_lose_nothing(data: Path) -> None:
    settings = load(None, str(data))
    with ThreadPoolExecutor(8) as pool:
        names = [f"user-{number}" for number in range(40)]
        made = pool.map(lambda name: create(settings, name, "operator", [], None), names)
        assert set(made) == {0}

    assert {key.access.user for key in keys(data)} == {"default", *names}


def test_daemons_that_keep_the_directory_from_cleaning_hold_off_nobody(
    data: Path, run: Run
) -> None:
    """In /tmp they hold a lock of the data directory for as long as they run."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH)
        assert run("create", "ci", "--role", "operator")[0] == 0
    finally:
        os.close(folder)

    assert of(data, "ci")


def test_env_for_a_user(data: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", "ci", "--role", "operator")
    (data / "server.json").write_text('{"url": "http://x:1", "region": "us-east-2", "pid": 1}')

    assert main(["env", "--data", str(data), "--user", "ci"]) == 0
    assert of(data, "ci")[0].id in capsys.readouterr().out
    assert main(["env", "--data", str(data), "--user", "no"]) == 2
    assert "there is no user no" in capsys.readouterr().err
