"""A server whose vault is in a bucket, and the commands on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.recovery.recover import recover
from mooring.admin.vaults.collect import collect
from mooring.admin.vaults.usage import usage
from mooring.admin.vaults.verify import verify, verify_stored
from mooring.config.settings import Region, S3Settings, Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.vault.served.process import ServingProcess
from mooring.wiring.snapshot_servers import snapshot_servers
from tests.admin.servers import REGION, ZONE, blocks, running, settings_at, store
from tests.vault.store.buckets import Service, service


@pytest.fixture(scope="module")
def s3() -> Iterator[Service]:
    with service() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, s3: Service, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As a file would say it; the credentials are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    key = tmp_path / "key"
    key.write_text("sesame")
    key.chmod(0o600)
    place = f"s3://{s3.bucket()}/vaults/{REGION}"
    return replace(
        settings_at(tmp_path / "data", tmp_path / "unused"),
        regions={REGION: Region(zones=[ZONE], vault=place, key_file=str(key))},
        s3=S3Settings(endpoint=s3.endpoint, region="us-east-1"),
    )


def test_all_commands_work_on_it(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="there is no vault yet"):
        verify(settings)
    store(settings, "one", blocks(1, 3), name="monday")
    store(settings, "two", blocks(2, 3), name="tuesday")
    assert verify(settings) == 0
    assert verify_stored(settings) == 0
    assert usage(settings) == 0
    assert recover(settings, settings.regions[REGION].vault) == 0
    with running(settings) as server:
        server.call("DeleteDiskSnapshot", diskSnapshotName="monday")
        server.settle()
        (left,) = server.call("GetDiskSnapshots")["diskSnapshots"]
    assert left["name"] == "tuesday"
    assert collect(settings) == 0
    assert "0 bytes freed (0 segments deleted, 0 thinned out, 1 kept)" in capsys.readouterr().out


def test_the_server_of_snapshots_is_told_where_it_is(settings: Settings) -> None:
    paths = Paths(Path("/somewhere"))
    settings = replace(settings, engine=replace(settings.engine, kind="qemu"))
    (server,) = snapshot_servers(settings, paths, SystemClock(), {}).values()
    assert isinstance(server, ServingProcess)
    command = server._command
    for option, value in (
        ("--vault", settings.regions[REGION].vault),
        ("--key-file", settings.regions[REGION].key_file),
        ("--s3", f"endpoint={settings.s3.endpoint}"),
    ):
        assert command[command.index(option) + 1] == value
