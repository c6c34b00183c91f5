"""Keys that come and go while the server runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mooring.model.access import Access, Role
from mooring.model.clock import ManualClock
from mooring.model.errors import ConfigurationError
from mooring.service.credentials.keyring import LOOK_SECONDS, Keyring
from mooring.service.credentials.keys import Key, new_key, write_keys

OLD, NEW = new_key("default", Access("default")), new_key("ci", Access("ci", Role.READ_ONLY))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_keys(tmp_path / "credentials", [OLD])
    return tmp_path / "credentials"


def secret(keyring: Keyring, key: Key) -> str | None:
    found = keyring.find(key.id)
    return None if found is None else found.secret


def test_a_new_key_is_good_within_a_second(path: Path, clock: ManualClock) -> None:
    keyring = Keyring(path, clock)
    write_keys(path, [OLD, NEW])
    assert secret(keyring, NEW) is None

    clock.advance(LOOK_SECONDS)

    assert secret(keyring, NEW) == NEW.secret
    found = keyring.find(NEW.id)
    assert found is not None
    assert found.access == Access("ci", Role.READ_ONLY)


def test_a_deleted_key_is_refused_within_a_second(path: Path, clock: ManualClock) -> None:
    write_keys(path, [OLD, NEW])
    keyring = Keyring(path, clock)
    write_keys(path, [OLD])
    clock.advance(LOOK_SECONDS)

    assert secret(keyring, NEW) is None
    assert secret(keyring, OLD) == OLD.secret


def test_a_key_ends_at_its_time(path: Path, clock: ManualClock) -> None:
    write_keys(path, [OLD, replace(NEW, expires_ms=clock.now_ms() + 5000)])
    keyring = Keyring(path, clock)
    clock.advance(4.9)
    assert secret(keyring, NEW) == NEW.secret
    clock.advance(0.1)
    assert secret(keyring, NEW) is None


@pytest.mark.parametrize("damage", ["garbage", "mode", "gone", "empty"])
def test_a_file_that_cannot_be_used_leaves_the_keys_of_before(
    path: Path, clock: ManualClock, damage: str
) -> None:
    keyring = Keyring(path, clock)
    if damage == "mode":
        path.chmod(0o644)
    elif damage == "gone":
        path.unlink()
    else:
        path.write_text("geheim" if damage == "garbage" else "")
    with capture_logs() as lines:
        for _ in range(5):
            clock.advance(LOOK_SECONDS)
            assert secret(keyring, OLD) == OLD.secret

    assert [line["log_level"] for line in lines] == ["error"]
    assert "geheim" not in str(lines)


def test_a_mended_file_is_read_again(path: Path, clock: ManualClock) -> None:
    keyring = Keyring(path, clock)
    write_keys(path, [OLD, NEW])
    path.chmod(0o644)
    clock.advance(LOOK_SECONDS)
    assert secret(keyring, NEW) is None
    path.chmod(0o600)
    clock.advance(LOOK_SECONDS)
    assert secret(keyring, NEW) == NEW.secret


def test_a_change_of_the_same_size_and_time_is_seen(path: Path, clock: ManualClock) -> None:
    keyring = Keyring(path, clock)
    before = path.stat()
    other = replace(OLD, secret=OLD.secret[::-1])
    write_keys(path, [other])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.advance(LOOK_SECONDS)

    assert secret(keyring, OLD) == other.secret


def test_a_damaged_file_stops_the_start(path: Path, clock: ManualClock) -> None:
    path.write_text("garbage")

    with pytest.raises(ConfigurationError, match="is not a credentials file"):
        Keyring(path, clock)
