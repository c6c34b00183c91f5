"""One catalog has one server, which closes all that it opened."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.health.doctor import doctor
from mooring.config.settings import Settings
from mooring.engine.memory import MemoryEngine
from mooring.model.errors import ConfigurationError, EngineError
from mooring.wiring.build_server import build_server
from tests.admin.servers import REGION, blocks, running, settings_at
from tests.vault.disks import info


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "data", tmp_path / "vault")


def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """Another data directory with the catalog of the first, named by its URL."""
    catalog = settings.data_directory / "catalog.sqlite"
    return replace(settings, data=str(tmp_path / "other"), catalog=f"sqlite:///{catalog}")


def test_no_two_servers_on_one_catalog(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = elsewhere(settings, tmp_path)
    with running(settings) as server:
        for _ in range(2):  # the first refusal leaves nothing behind
            with pytest.raises(ConfigurationError, match=r"another server uses the catalog .*stop"):
                build_server(other)
        assert doctor(other) == 1
        assert "BAD  another server uses the catalog" in capsys.readouterr().out
        server.call("GetDisks")

    with running(other) as server:
        with pytest.raises(ConfigurationError, match="another server uses the catalog"):
            build_server(settings)
        server.call("GetDisks")


def test_what_cannot_be_closed_keeps_nothing_else_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: MemoryEngine) -> None:
        raise EngineError("the engine is in a bad mood")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryEngine, "close", fail)
        mooring = build_server(settings)
        mooring.start()
        with pytest.raises(EngineError, match="bad mood"):
            mooring.stop()

    mooring.stop()  # nothing is left to close
    again = build_server(settings)
    again.start()
    again.stop()


def test_a_start_that_fails_is_stopped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    mooring = build_server(settings)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise EngineError("the engine is in a bad mood")

        patch.setattr(MemoryEngine, "adopt", fail)
        with pytest.raises(EngineError, match="bad mood"):
            mooring.start()
    mooring.stop()

    with running(settings) as server:
        server.call("GetDisks")


def test_a_server_that_stops_keeps_what_its_vaults_have_found(settings: Settings) -> None:
    before = set(threading.enumerate())
    with running(settings) as server:
        vault = server.mooring.backend.vaults[REGION]
        with vault.begin(info("kept", 8 << 30), None) as writer:
            writer.write(0, blocks(1, 64))
            writer.commit()

    assert list(settings.data_directory.rglob("*.run")), "the digests of what it holds"
    assert set(threading.enumerate()) <= before
