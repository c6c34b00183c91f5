"""Verifications and copies by hand: the server knows of them as of its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.vaults.mend import mend
from mooring.admin.vaults.replicate import replicate
from mooring.admin.vaults.verify import verify, verify_stored
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.config.settings import Region, Settings
from mooring.model.clock import SystemClock
from mooring.model.resources.job_kind import JobKind
from mooring.wiring.catalogs import catalog_at_hand
from mooring.wiring.vaults import open_vault
from tests.admin.servers import REGION, blocks, running, settings_at, store
from tests.admin.test_vault_commands import damage

UID = 54321


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A snapshot, and a catalog whose vault it is in."""
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "one", blocks(1, 200), name="monday")
    with running(made) as server:
        vault = open_vault(made, REGION)
        assert vault is not None
        with vault, server.mooring.backend.catalog.write() as transaction:
            transaction.vaults.note(REGION, vault.id, 1)
    return made


def run(settings: Settings, kind: JobKind = JobKind.VERIFY_VAULT) -> VaultRun | None:
    with catalog_at_hand(settings) as catalog:
        assert catalog is not None
        with catalog.read() as transaction:
            return transaction.vault_runs.of(REGION, kind)


def test_a_verification_is_known_with_a_server_and_without(settings: Settings) -> None:
    before = SystemClock().now_ms()
    assert verify(settings) == 0

    found = run(settings)
    assert found is not None
    assert (found.problems, found.percent) == (0, 100)
    assert found.begun_ms is not None
    assert before <= found.begun_ms <= found.ended_ms <= SystemClock().now_ms()
    assert found.covers(before)

    with running(settings) as server:
        assert verify(settings, percent=5) == 0
        with server.mooring.backend.catalog.read() as transaction:
            seen = transaction.vault_runs.of(REGION, JobKind.VERIFY_VAULT)
    assert seen is not None
    assert seen.percent == 5


def test_damage_is_known_until_it_is_mended(settings: Settings, tmp_path: Path) -> None:
    assert replicate(settings, to=str(tmp_path / "copy")) == 0
    damage(tmp_path, "one", settings)
    assert verify(settings) == 1
    assert (found := run(settings)) is not None
    assert found.problems == 1

    assert mend(settings, copies=[str(tmp_path / "copy")]) == 0
    assert (found := run(settings)) is not None
    assert (found.problems, found.percent) == (0, 100)


def test_what_reads_a_part_knows_of_damage_that_it_did_not_meet(
    settings: Settings, tmp_path: Path
) -> None:
    store(settings, "two", blocks(2, 4000))
    damage(tmp_path, "one", settings)
    assert verify(settings) == 1

    verify(settings, percent=0.0001)  # one frame of thirty
    assert (found := run(settings)) is not None
    assert (found.problems, found.damaged) == (1, ("one",))


def test_what_is_not_the_whole_vault_does_not_count(settings: Settings) -> None:
    assert verify(settings, disk="data") == 0
    assert verify(settings, snapshot="monday") == 0
    assert verify_stored(settings) == 0
    assert run(settings) is None


def test_another_vault_than_the_catalogs_does_not_count(settings: Settings, tmp_path: Path) -> None:
    other = replace(settings, regions={REGION: Region(vault=str(tmp_path / "other"))})
    store(other, "two", blocks(2, 10))

    assert verify(other) == 1  # as it differs from the catalog's
    assert run(settings) is None


def test_a_copy_is_known_if_it_is_the_one_of_the_settings(
    settings: Settings, tmp_path: Path
) -> None:
    place = str(tmp_path / "copy")
    assert replicate(settings, to=place) == 0
    assert run(settings, JobKind.REPLICATE_VAULT) is None

    region = replace(settings.regions[REGION], replica=place)
    settings = replace(settings, regions={REGION: region})
    assert replicate(settings) == 0
    assert (found := run(settings, JobKind.REPLICATE_VAULT)) is not None
    assert found.problems == 0


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run commands as somebody else")
def test_who_may_only_read_still_verifies(settings: Settings, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "settings").write_text(
        f'[regions.{REGION}]\nzones = ["{REGION}a"]\nvault = "{tmp_path / "vault"}"\n'
    )
    # Acts as the owner of the folder, to whom nothing in it belongs.
    os.chown(settings.data, UID, UID)
    words = ["verify", "--data", settings.data, "--config", str(tmp_path / "settings")]
    with closing(sqlite3.connect(Path(settings.data) / "catalog.sqlite")) as catalog:
        # As beside a server, which has the files that go with the catalog.
        catalog.execute("SELECT * FROM vaults").fetchall()
        done = subprocess.run(
            [sys.executable, "-m", "mooring.admin.main", *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert "all data read back: no damage" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
    assert "the server will not know of this" in done.stderr
    assert run(settings) is None
