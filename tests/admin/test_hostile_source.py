"""Whoever wrote a vault cannot stop the commands that read it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.vaults.collect import collect
from mooring.admin.vaults.replicate import replicate
from mooring.admin.vaults.usage import usage
from mooring.admin.vaults.verify import verify, verify_stored
from mooring.config.settings import Settings
from mooring.model.errors import MooringError
from mooring.vault.format import envelope
from tests.admin.servers import blocks, settings_at, store

DEEP = "[" * 100_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_at(tmp_path / "data", tmp_path / "vault")
    store(made, "bad", blocks(1, 4), name="monday")
    store(made, "good", blocks(2, 4), name="tuesday")
    return made


def rewritten(root: Path, change: Callable[[Any], object]) -> None:
    """Let a root tell something else, with a digest that fits."""
    body = envelope.unwrap(envelope.ROOT, root.read_bytes(), "it")
    (length,) = struct.unpack_from("<I", body)
    meta = json.loads(body[4 : 4 + length])
    changed = change(meta)
    text = (changed if isinstance(changed, str) else json.dumps(meta)).encode()
    body = struct.pack("<I", len(text)) + text + body[4 + length :]
    root.write_bytes(envelope.wrap(envelope.ROOT, body))


ROOTS: dict[str, Callable[[Any], object]] = {
    "deep": lambda _: DEEP,
    "a list": lambda _: "[]",
    "a number": lambda _: "1",
    "a moment that is none": lambda meta: meta.update(completed_ms="now"),
    "no moment": lambda meta: meta.update(completed_ms=None),
    "a moment like no other": lambda meta: meta.update(completed_ms=[1]),
    "a parent that is none": lambda meta: meta.update(parent={"a": 1}),
    "a claim that is none": lambda meta: meta.update(claim=[]),
    "a claim that climbs": lambda meta: meta.update(claim="../../../x"),
    "statistics of words": lambda meta: meta["statistics"].update(stored_bytes="many"),
    "no statistics": lambda meta: meta.update(statistics=None),
    "infinite": lambda meta: meta["statistics"].update(stored_bytes=float("inf")),
    "the largest disk": lambda meta: meta["info"].update(size=1 << 70),
    "a negative disk": lambda meta: meta["info"].update(size=-4096),
    "a name with escapes": lambda meta: meta["info"].update(name="\x1b]0;x\x07" * 1000),
    "surrogates": lambda meta: meta["info"].update(name="\ud800"),
}


def ends_in_words(settings: Settings, target: Path) -> str:
    """Run what reads whole vaults; returns what went wrong with the copy, in words."""
    for command in (verify, verify_stored, usage, collect):
        with suppress(MooringError):
            command(settings)
    try:
        replicate(settings, to=str(target))
    except MooringError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ROOTS)
def test_a_root_that_tells_anything(
    kind: str, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(tmp_path / "vault/roots/bad", ROOTS[kind])

    assert ends_in_words(settings, tmp_path / "copy") == ""

    assert (tmp_path / "copy/roots/good").exists()
    assert "1 snapshot copied" in capsys.readouterr().out or (tmp_path / "copy/roots/bad").exists()


def test_a_root_of_terabytes(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.truncate(tmp_path / "vault/roots/bad", 1 << 42)

    assert ends_in_words(settings, tmp_path / "copy") == ""

    assert "NOT copied: bad: " in capsys.readouterr().out
    assert (tmp_path / "copy/roots/good").exists()


def spoil(file: Path, magic: bytes, text: bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(envelope.wrap(magic, text))


CLAIM = {"id": "x", "purpose": "write", "snapshot": "s", "renewed_ms": 1 << 60, "held": ""}
TEXTS = [DEEP.encode(), b"[]", b"{}", b"1", b"\xff", b'{"id": {}}', b'{"snapshots": 1}',
         json.dumps(CLAIM).encode(), json.dumps({**CLAIM, "shares": [[]]}).encode()]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", ["vault", "copied", "claims/x", "deleted/x.y.1", "key"])
def test_other_objects_that_tell_anything(
    name: str, text: bytes, settings: Settings, tmp_path: Path
) -> None:
    magics = {"vault": envelope.HEADER, "copied": envelope.COPIED, "claims/x": envelope.CLAIM,
              "key": envelope.KEY, "deleted/x.y.1": envelope.ROOT}  # fmt: skip
    prefix = struct.pack("<I", len(text)) if "/" in name else b""
    spoil(tmp_path / "vault" / name, magics[name], prefix + text)

    ends_in_words(settings, tmp_path / "copy")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", ["vault", "copied", "claims/x"])
def test_a_copy_that_tells_anything(
    name: str, text: bytes, settings: Settings, tmp_path: Path
) -> None:
    assert replicate(settings, to=str(tmp_path / "copy")) == 0
    store(settings, "more", blocks(3, 4))
    magics = {"vault": envelope.HEADER, "copied": envelope.COPIED, "claims/x": envelope.CLAIM}
    prefix = struct.pack("<I", len(text)) if "/" in name else b""
    spoil(tmp_path / "copy" / name, magics[name], prefix + text)

    assert ends_in_words(settings, tmp_path / "copy") or (tmp_path / "copy/roots/more").exists()


@pytest.mark.parametrize("name", ["vault", "roots/bad", "claims/x", "key", "copied"])
def test_objects_of_terabytes(name: str, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "vault" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, 1 << 42)

    ends_in_words(settings, tmp_path / "copy")
