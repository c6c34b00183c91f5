"""Room set aside beside vaults and catalogs: only where they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.vaults.accept import accept
from mooring.admin.vaults.collect import collect
from mooring.config.settings import Settings
from mooring.host.reserve import Reserve
from mooring.model.clock import SystemClock
from mooring.model.errors import MooringError
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault
from mooring.wiring.build_server import build_server
from tests.admin.servers import REGION, Server, running, settings_at


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "data", tmp_path / "vault")


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with running(settings) as server:
        assert server.mooring.backend.vaults[REGION]
        yield server


def look(server: Server) -> None:
    server.mooring.room_watch.look()


def files(place: Path) -> set[Path]:
    return {path.relative_to(place) for path in place.rglob("*")}


def other_vault(place: Path) -> str:
    with Vault.create_or_open(DirectoryStore(place), SystemClock()) as vault:
        return vault.id


def test_the_regions_vault_has_one(server: Server, tmp_path: Path) -> None:
    look(server)
    assert (tmp_path / "vault/.reserve").stat().st_blocks


@pytest.mark.parametrize("instead", ["an empty mount point", "another vault", "nothing"])
def test_none_comes_into_what_takes_a_vaults_place(
    server: Server, tmp_path: Path, instead: str
) -> None:
    vault = tmp_path / "vault"
    vault.rename(tmp_path / "away")
    if instead != "nothing":
        vault.mkdir()
    if instead == "another vault":
        other_vault(vault)
    before = files(vault)
    look(server)
    assert vault.exists() == (instead != "nothing")
    assert files(vault) == before
    shutil.rmtree(vault, ignore_errors=True)
    (tmp_path / "away").rename(vault)
    look(server)
    assert (vault / ".reserve").exists()


def test_none_comes_into_another_vault_before_it_is_accepted(
    settings: Settings, tmp_path: Path
) -> None:
    vault = tmp_path / "vault"
    with running(settings) as server:
        assert server.mooring.backend.vaults[REGION]
    shutil.rmtree(vault)
    other_vault(vault)
    foreign = Reserve(vault / ".reserve")
    foreign.take()
    before = foreign.held()
    with running(settings) as server:
        server.mooring.schedule.vaults.look()
        look(server)
        assert not server.mooring.backend.rooms.reserves["vault of " + REGION].give_up()
    with pytest.raises(MooringError, match="the vault there is not that of"):
        collect(settings)
    assert foreign.held() == before
    foreign.give_up(before)
    accept(settings, REGION)
    with running(settings) as server:
        server.mooring.schedule.vaults.look()
        look(server)
    assert foreign.held()


def test_none_comes_into_a_vault_that_is_older_than_the_catalog(
    server: Server, tmp_path: Path
) -> None:
    """It is only read until somebody has said that it is the right one."""
    server.mooring.backend.vaults[REGION].close_for_writing("it is an older copy")
    look(server)
    assert not (tmp_path / "vault/.reserve").exists()


def test_a_catalog_named_by_its_address_has_one(settings: Settings, tmp_path: Path) -> None:
    """The data directory's if it is on the same file system; else one of its own."""
    file = tmp_path / "elsewhere/catalog.sqlite"
    file.parent.mkdir()
    mooring = build_server(replace(settings, catalog=f"sqlite:///{file}"))
    try:
        mooring.backend.catalog.migrate()
        mooring.room_watch.look()
        assert mooring.reserve.held()
        log = file.with_name(f"{file.name}-wal")
        assert log.stat().st_blocks * 512 > log.stat().st_size + SLACK
        assert "catalog" in dict(mooring.backend.rooms.look())
    finally:
        mooring.stop()


SLACK = 1 << 20
