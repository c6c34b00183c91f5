"""`mooringd doctor` about vaults: away, read-only, full, sealed with another key."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.health.vaults import PATIENCE, vault_findings
from mooring.config.settings import Region, S3Settings, Settings
from mooring.host import room
from mooring.vault.store.retrying import Patience
from tests.admin.servers import REGION, ZONE, blocks, settings_at, store


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(room, "SHORT", 0.0)
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "one", blocks(1, 2))
    return made


def only(settings: Settings, patience: Patience = PATIENCE) -> tuple[bool, str]:
    (found,) = vault_findings(settings, patience)
    return found


def test_a_vault_that_is_well(settings: Settings, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ok, text = only(settings)
    assert ok
    assert "opens, and can be written to" in text
    left = {path.name for path in tmp_path.rglob("*")} - {path.name for path in before}
    assert left <= {".temporary"}


def test_one_that_is_away(settings: Settings, tmp_path: Path) -> None:
    shutil.move(tmp_path / "vault", tmp_path / "elsewhere")
    ok, text = only(settings)
    assert not ok
    assert text.startswith(f"vault of us-east-2: {tmp_path}/vault is away: mount it")
    assert not (tmp_path / "vault").exists()
    (tmp_path / "vault").mkdir()
    assert only(settings) == (True, f"vault of us-east-2: {tmp_path}/vault: still empty")
    default = Settings(data=settings.data, regions={REGION: Region([ZONE])})
    ok, text = only(default)
    assert ok
    assert "not there yet; `mooringd serve` creates it" in text


def test_a_copy_is_looked_at_too(settings: Settings, tmp_path: Path) -> None:
    region = replace(settings.regions[REGION], replica=str(tmp_path / "copy"))
    vault, copy = vault_findings(replace(settings, regions={REGION: region}))
    assert vault[0]
    assert not copy[0]
    assert copy[1].startswith("copy of the vault of us-east-2:")


def test_one_with_another_key(settings: Settings, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("one")
    region = replace(settings.regions[REGION], vault=str(tmp_path / "sealed"), key_file=str(key))
    sealed = replace(settings, regions={REGION: region})
    store(sealed, "one", blocks(1, 2))
    assert only(sealed)[0]
    key.write_text("another")
    ok, text = only(sealed)
    assert not ok
    assert "it has another key file or passphrase" in text
    ok, text = only(replace(sealed, regions={REGION: replace(region, key_file="")}))
    assert not ok
    assert "has a key: name its key file" in text


def test_one_that_is_damaged_or_short_of_room(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SHORT", 1.1)
    monkeypatch.setattr(room, "PLENTY_BYTES", 1 << 60)
    ok, text = only(settings)
    assert not ok
    assert "free some space, or snapshots will fail" in text
    (tmp_path / "vault" / "vault").write_bytes(b"no header")
    ok, text = only(settings)
    assert not ok
    assert "is damaged" in text


def test_a_bucket_whose_service_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    region = replace(settings.regions[REGION], vault="s3://bucket/x")
    s3 = S3Settings(endpoint=endpoint, region="us-east-1")
    ok, text = only(replace(settings, regions={REGION: region}, s3=s3), Patience(retry_seconds=0.2))
    assert not ok
    assert "s3://bucket/x cannot be used: could not read vault" in text


@pytest.fixture
def small_disk(run_dir: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", run_dir], check=True)
    yield run_dir
    subprocess.run(["umount", run_dir], check=True)


@pytest.mark.full
def test_one_that_is_full_or_read_only(settings: Settings, small_disk: Path) -> None:
    region = replace(settings.regions[REGION], vault=str(small_disk / "vault"))
    small = replace(settings, regions={REGION: region})
    store(small, "one", blocks(1, 2))
    assert only(small)[0]
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filling").write_bytes(bytes(free))
    ok, text = only(small)
    assert not ok
    assert "is full: free some space on it" in text
    (small_disk / "filling").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ok, text = only(small)
    assert not ok
    assert "can only be read" in text
