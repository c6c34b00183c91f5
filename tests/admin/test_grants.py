"""Grants to read snapshots: listed, withdrawn, and ended with the keys that asked for them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.config.load import load
from mooring.config.settings import Settings
from mooring.model.clock import ManualClock, SystemClock
from mooring.model.errors import VaultError
from mooring.service.credentials.keyring import Keyring
from mooring.service.credentials.keys import open_keys, read_keys
from mooring.vault.served.exports import LOOK_SECONDS, SnapshotExports
from mooring.vault.served.grants import Grants
from mooring.vault.served.process import ServingProcess
from mooring.wiring.build_server import build_server
from mooring.wiring.snapshot_servers import grants_of
from mooring.wiring.vaults import make_vault
from tests.admin.servers import REGION, blocks, settings_at, store

SNAPSHOT = "5c9d2a3e-1f00-4c00-8a00-000000000001"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    open_keys(tmp_path / "data" / "credentials")
    return tmp_path / "data"


@pytest.fixture
def grants(data: Path) -> Grants:
    return grants_of(load(None, data=str(data)), SystemClock())["us-east-2"]


def add_user(data: Path, user: str) -> str:
    assert main(["keys", "create", user, "--role", "operator", "--data", str(data)]) == 0
    keys = read_keys(data / "credentials")
    return next(key.id for key in keys.values() if key.access.user == user)


def test_grants_are_listed_without_what_lets_anybody_read(
    data: Path, grants: Grants, capsys: pytest.CaptureFixture[str]
) -> None:
    key = add_user(data, "backup")
    name = grants.add(SNAPSHOT, 60, key)
    capsys.readouterr()
    assert main(["grants", "list", "--data", str(data)]) == 0
    head, line = capsys.readouterr().out.splitlines()

    assert head.split() == ["GRANT", "REGION", "SNAPSHOT", "USER", "KEY", "ENDS"]
    assert line.split()[:5] == [name[:8], "us-east-2", SNAPSHOT, "backup", key]
    assert name not in line


def test_grants_are_withdrawn(
    data: Path, grants: Grants, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [grants.add(SNAPSHOT, 60) for _ in range(3)]
    assert main(["grants", "withdraw", names[0][:8], "--data", str(data)]) == 0
    assert set(grants.all()) == set(names[1:])
    assert main(["grants", "withdraw", names[0][:8], "--data", str(data)]) != 0
    assert "there is no grant" in capsys.readouterr().err
    assert main(["grants", "withdraw", "--all", "--data", str(data)]) == 0
    assert grants.all() == {}


@pytest.mark.parametrize(
    "change", [["delete", "backup"], ["change", "backup", "--role", "read-only"]]
)
def test_a_key_that_goes_or_changes_takes_its_grants_along(
    data: Path, grants: Grants, change: list[str]
) -> None:
    grants.add(SNAPSHOT, 60, add_user(data, "backup"))
    other = grants.add(SNAPSHOT, 60, add_user(data, "other"))
    assert main(["keys", *change, "--data", str(data)]) == 0

    assert set(grants.all()) == {other}


def test_the_server_sees_that_a_key_has_gone_from_the_file(data: Path) -> None:
    key = add_user(data, "backup")
    keyring = Keyring(data / "credentials", ManualClock())
    gone: list[str] = []
    keyring.tell(gone.extend)
    text = (data / "credentials").read_text()
    (data / "credentials").write_text(text[: text.index("[backup]")])
    keyring.refresh()

    assert gone == [key]


def test_what_a_key_granted_that_went_meanwhile_ends_at_the_start(tmp_path: Path) -> None:
    settings: Settings = settings_at(tmp_path / "data", tmp_path / "vault")
    server = build_server(settings)
    grants = grants_of(settings, SystemClock())[REGION]
    kept = grants.add(SNAPSHOT, 60, next(iter(server.keys.ids())))
    grants.add(SNAPSHOT, 60, "AKIAGONE")
    try:
        server.start()
        assert set(grants.all()) == {kept}
    finally:
        server.stop()


def test_only_the_key_that_asked_withdraws(tmp_path: Path) -> None:
    grants = Grants(tmp_path, SystemClock())
    server = ServingProcess(tmp_path, [], SystemClock())
    name = grants.add(SNAPSHOT, 60, "AKIA")
    for export, key in ((name, "AKIAOTHER"), (name, ""), ("../lock", "AKIA"), ("0" * 32, "AKIA")):
        server.withdraw(export, key)
        assert set(grants.all()) == {name}
    server.withdraw(name, "AKIA")
    assert grants.all() == {}


def test_what_nobody_uses_ends_before_its_time(tmp_path: Path) -> None:
    clock = ManualClock()
    grants = Grants(tmp_path, clock)
    idle = grants.add(SNAPSHOT, 100, idle_seconds=10)
    lasting = grants.add(SNAPSHOT, 100)
    for _ in range(11):
        clock.advance(9)
        assert set(grants.all()) == {idle, lasting}
        grants.use(idle)
    clock.advance(0.999)
    assert grants.any()
    clock.advance(0.001)
    assert grants.all() == {}
    idle = grants.add(SNAPSHOT, 100, idle_seconds=10)
    clock.advance(10)
    assert grants.find(idle) is None
    assert not grants.any()
    # Nobody brings one back that was withdrawn.
    grants.withdraw(idle)
    grants.use(idle)
    assert not grants.holds(idle)


def test_a_connection_keeps_what_it_uses(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data", tmp_path / "vault")
    store(settings, SNAPSHOT, blocks(1, 1))
    clock = ManualClock()
    grants = Grants(tmp_path / "run", clock)
    with make_vault(settings, REGION, SystemClock()) as vault, ThreadPoolExecutor(2) as executor:

        async def scenario() -> None:
            exports = SnapshotExports(vault, executor, clock, grants)
            name = grants.add(SNAPSHOT, 60, idle_seconds=0.02)
            export = await exports.open(name)
            assert export is not None
            clock.advance(10)
            async with asyncio.timeout(60):
                while grants.find(name) is None:
                    await asyncio.sleep(0)
            await export.close()
            clock.advance(10)
            assert grants.find(name) is None

        asyncio.run(scenario())


def test_open_connections_end_with_their_grant(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data", tmp_path / "vault")
    content = blocks(1, 4)
    store(settings, SNAPSHOT, content)
    clock = ManualClock()
    grants = Grants(tmp_path / "run", clock)
    with make_vault(settings, REGION, SystemClock()) as vault, ThreadPoolExecutor(2) as executor:

        async def scenario() -> None:
            exports = SnapshotExports(vault, executor, clock, grants)
            name = grants.add(SNAPSHOT, 60, "AKIA")
            export = await exports.open(name)
            assert export is not None
            assert await export.read(0, len(content)) == content
            grants.withdraw(name)
            clock.advance(LOOK_SECONDS)
            with pytest.raises(VaultError, match="withdrawn"):
                await export.read(0, len(content))
            with pytest.raises(VaultError, match="withdrawn"):
                await export.block_status(0, len(content), 10)
            assert await exports.open(name) is None
            await export.close()

        asyncio.run(scenario())
