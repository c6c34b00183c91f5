"""A server with a sealed vault, and the commands around its key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mooring.admin.main import main
from mooring.admin.recovery.recover import recover
from mooring.admin.vaults.rekey import rekey
from mooring.admin.vaults.verify import verify, verify_stored
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError, VaultError, WrongKeyError
from mooring.wiring.build_server import build_server
from tests.admin.servers import REGION, blocks, running, settings_at, store


def key_file(path: Path, secret: str, mode: int = 0o600) -> Path:
    path.write_text(secret)
    path.chmod(mode)
    return path


def keyed(settings: Settings, file: Path) -> Settings:
    region = replace(settings.regions[REGION], key_file=str(file))
    return replace(settings, regions={REGION: region})


@pytest.fixture
def clear(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "data", tmp_path / "vault")


@pytest.fixture
def sealed(tmp_path: Path, clear: Settings) -> Settings:
    """A server's settings, and a snapshot in its sealed vault."""
    settings = keyed(clear, key_file(tmp_path / "key", "sesame\n"))
    store(settings, "one", blocks(1, 3), name="monday")
    return settings


def test_with_the_key_all_is_as_ever(
    sealed: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(sealed) == 0
    assert recover(sealed) == 0
    with running(sealed) as server:
        (found,) = server.call("GetDiskSnapshots")["diskSnapshots"]
    assert found["name"] == "monday"
    everything = b"".join(p.read_bytes() for p in (tmp_path / "vault").rglob("*") if p.is_file())
    assert b"monday" not in everything
    assert blocks(1, 1) not in everything


def test_stored_bytes_are_verified_without_it(
    sealed: Settings, clear: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify_stored(clear) == 0
    assert main(["verify", "--stored", "--data", str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("us-east-2: 4 objects, 3 frames, ")
    assert said.out.endswith(" stored: no damage\n")
    (segment,) = (tmp_path / "vault" / "segments").rglob("*/*")
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    assert verify_stored(clear) == 1
    assert "frame 0 is damaged: its stored bytes have another digest" in capsys.readouterr().out


def test_without_the_key_nothing_else(sealed: Settings, clear: Settings) -> None:
    with pytest.raises(VaultError, match="has a key: name its key file in the settings"):
        verify(clear)
    server = build_server(clear)
    try:
        with pytest.raises(VaultError, match="has a key"):
            server.start()
    finally:
        server.stop()


def test_the_secret_is_changed(
    sealed: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = key_file(tmp_path / "new", "open now")
    with running(sealed):
        assert rekey(sealed, region=REGION, new_key_file=str(new)) == 0
    assert "set regions.us-east-2.key_file to it" in capsys.readouterr().out
    with pytest.raises(WrongKeyError):
        verify(sealed)
    assert verify(keyed(sealed, new)) == 0


def test_secrets_that_are_not_changed(sealed: Settings, clear: Settings, tmp_path: Path) -> None:
    wrong = key_file(tmp_path / "wrong", "who knows")
    with pytest.raises(ConfigurationError, match="key_file is not set"):
        rekey(clear, region=REGION, new_key_file=str(wrong))
    with pytest.raises(WrongKeyError):
        rekey(keyed(sealed, wrong), region=REGION, new_key_file=str(wrong))
    with pytest.raises(ConfigurationError, match="there is no region nowhere"):
        rekey(sealed, region="nowhere", new_key_file=str(wrong))
    with pytest.raises(ConfigurationError, match="there is no vault yet"):
        rekey(
            replace(keyed(settings_at(tmp_path, tmp_path / "no"), wrong)),
            region=REGION,
            new_key_file=str(wrong),
        )
    assert verify(sealed) == 0


@pytest.mark.parametrize(
    ("secret", "mode", "why"),
    [("x", 0o640, "others could read it: chmod 600"), ("\n", 0o600, "is empty")],
)
def test_key_files_that_will_not_do(
    clear: Settings, tmp_path: Path, secret: str, mode: int, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        store(keyed(clear, key_file(tmp_path / "key", secret, mode)), "one", b"")


def test_a_key_file_that_is_missing(clear: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        store(keyed(clear, tmp_path / "nothing"), "one", b"")
