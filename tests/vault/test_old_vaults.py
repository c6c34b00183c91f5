"""Vaults of every version of the format stay readable, and can be continued."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import VaultError
from mooring.vault.format import envelope
from mooring.vault.format.layout import VERSION
from mooring.vault.format.segment_table import END, THINNED, WHOLE
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.disks import check_all, info
from tests.vault.old_vault import FIRST, NAMES, SECOND, disks, secret_of

DATA = Path(__file__).parent / "data"
VERSIONS = sorted(path.name for path in DATA.iterdir())


def test_there_is_one_of_this_version() -> None:
    kinds = ("", "-sealed", "-thinned")
    wanted = [f"version-{number}{kind}" for number in range(1, VERSION + 1) for kind in kinds]
    assert wanted == VERSIONS


def test_a_thinned_one_has_a_segment_of_that_form() -> None:
    ends = [path.read_bytes()[-END.size :] for path in (DATA / "version-1-thinned").rglob("*/*/*")]
    assert sorted(END.unpack(end)[1] for end in ends) == [WHOLE, WHOLE, THINNED]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_vault_is_read_and_continued(tmp_path: Path, version: str) -> None:
    shutil.copytree(DATA / version, tmp_path / "vault")
    content = disks()
    store = DirectoryStore(tmp_path / "vault")
    with Vault.create_or_open(store, ManualClock(), secret=secret_of(version)) as vault:
        check_all(vault, content)
        assert vault.verify() == []
        assert vault.root(FIRST).info == info(FIRST, content[FIRST].size, **NAMES)
        assert vault.root(SECOND).parent == FIRST

        content["next"] = content[SECOND].copy()
        with vault.begin(info("next", content["next"].size), SECOND) as writer:
            content["next"].write(writer, 12, b"new".ljust(4096, b"."))
            writer.commit()
        vault.delete(FIRST)
        vault.collect()
        del content[FIRST]
        check_all(vault, content)


@pytest.mark.parametrize("name", ["vault", "roots/" + SECOND])
def test_a_newer_version_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    for path in (DATA / "version-1").rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(DATA / "version-1")), path.read_bytes())
    monkeypatch.setattr(envelope, "VERSION", VERSION + 1)
    kind = envelope.HEADER if name == "vault" else envelope.ROOT
    newer = envelope.wrap(kind, b"of a shape that nobody knows yet")
    monkeypatch.undo()
    store.put(name, newer)

    def use() -> None:
        with Vault.create_or_open(store, ManualClock()) as vault:
            vault.open(SECOND)

    with pytest.raises(VaultError, match=f"has format version {VERSION + 1}; this Mooring reads"):
        use()
